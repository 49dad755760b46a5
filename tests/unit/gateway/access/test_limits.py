from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_gateway.access.keyring import NO_KEY, Key
from fastchat_gateway.access.limits import Account, Meter, visible
from fastchat_gateway.errors import RefusedError
from fastchat_gateway.http.headers import pairs


def key(**limits: Any) -> Key:
    return Key("alice", b"", **limits)


def refusal(meter: Meter, key: Key, now: float, model: str = "m", name: str = "") -> tuple[int, str | None, str]:
    """Status, code and Retry-After of a request that is refused."""
    with pytest.raises(RefusedError) as caught:
        meter.admit(key, model, now, name=name)
    headers = dict(pairs(caught.value.header_lines))
    return caught.value.status, caught.value.error.code, headers.get(b"retry-after", b"").decode()


def admitted(meter: Meter, key: Key, now: float, tries: int) -> int:
    """How many of so many requests at the same time are let through; all end at once."""
    count = 0
    for _ in range(tries):
        try:
            account = meter.admit(key, "m", now)
        except RefusedError:
            continue
        if account is not None:
            account.release()
        count += 1
    return count


def begin(meter: Meter, key: Key, now: float) -> Account:
    """A request that goes on."""
    account = meter.admit(key, "m", now)
    assert account is not None
    return account


def shown(account: Account) -> dict[str, str]:
    return dict(line.removeprefix("x-ratelimit-").split(": ") for line in account.lines().decode().splitlines())


def test_a_key_without_limits_is_let_through_and_shows_none() -> None:
    meter = Meter()
    assert admitted(meter, NO_KEY, 0, 1000) == 1000
    assert meter.admit(NO_KEY, "m", 0) is None


def test_a_model_that_a_key_is_not_for_is_403_and_counts_nothing() -> None:
    meter, alice = Meter(), key(models=frozenset({"a"}), requests_per_minute=1)
    for _ in range(3):
        assert refusal(meter, alice, 0, "b") == (403, "model_not_allowed", "")
    meter.admit(alice, "a", 0)


def test_a_key_for_a_model_is_for_its_aliases_but_not_the_other_way_round() -> None:
    meter, whole, alias = Meter(), key(models=frozenset({"vicuna"})), key(models=frozenset({"gpt"}))
    meter.admit(whole, "vicuna", 0, name="gpt")
    meter.admit(alias, "vicuna", 0, name="gpt")
    assert refusal(meter, alias, 0, "vicuna", "vicuna")[0] == 403


def test_a_key_sees_the_models_that_it_may_use() -> None:
    names = {"gpt": "vicuna", "vicuna": "vicuna", "other": "other"}
    assert visible(key(models=frozenset({"vicuna"})), names) == ["gpt", "vicuna"]
    assert visible(key(models=frozenset({"gpt", "gone"})), names) == ["gpt"]
    assert visible(NO_KEY, names) == list(names)


def test_requests_over_the_limit_are_429_until_the_bucket_has_one_again() -> None:
    meter, alice = Meter(), key(requests_per_minute=6)
    assert admitted(meter, alice, 0, 10) == 6
    assert refusal(meter, alice, 0) == (429, "rate_limit_exceeded", "10")
    assert refusal(meter, alice, 9.5) == (429, "rate_limit_exceeded", "1")
    assert admitted(meter, alice, 10, 10) == 1
    assert admitted(meter, alice, 1000, 10) == 6


@given(st.lists(st.floats(0, 120), min_size=1, max_size=200), st.integers(1, 50))
def test_no_minute_has_more_than_twice_the_limit(times: list[float], limit: int) -> None:
    meter, alice = Meter(), key(requests_per_minute=limit)
    passed = [now for now in sorted(times) if admitted(meter, alice, now, 1)]
    assert all(sum(start <= now < start + 60 for now in passed) <= 2 * limit for start in passed)


def test_tokens_are_known_afterwards_and_an_overdraft_is_waited_for() -> None:
    meter, alice = Meter(), key(tokens_per_minute=600)
    begin(meter, alice, 0).charge(900, 0)
    assert refusal(meter, alice, 0) == (429, "rate_limit_exceeded", "31")
    assert refusal(meter, alice, 30)[0] == 429
    meter.admit(alice, "m", 30.1)


def test_requests_at_the_same_time_are_counted_until_they_end() -> None:
    meter, alice = Meter(), key(max_concurrent=2)
    account = begin(meter, alice, 0)
    meter.admit(alice, "m", 0)
    assert refusal(meter, alice, 0) == (429, "rate_limit_exceeded", "1")
    account.release()
    meter.admit(alice, "m", 0)
    assert refusal(meter, alice, 0)[0] == 429


def test_a_refused_request_takes_nothing_from_the_other_limits() -> None:
    meter, alice = Meter(), key(requests_per_minute=2, max_concurrent=1)
    account = begin(meter, alice, 0)
    for _ in range(5):
        assert refusal(meter, alice, 0)[0] == 429
    account.release()
    meter.admit(alice, "m", 0)


def test_keys_have_accounts_of_their_own() -> None:
    meter = Meter()
    assert admitted(meter, key(requests_per_minute=1), 0, 2) == 1
    assert admitted(meter, Key("bob", b"", requests_per_minute=1), 0, 2) == 1


def test_the_headers_are_openais() -> None:
    meter, alice = Meter(), key(requests_per_minute=60, tokens_per_minute=1000)
    account = begin(meter, alice, 0)
    account.charge(2500, 0)
    account.refill(alice, 1, 0.5)
    assert shown(account) == {
        "limit-requests": "60",
        "remaining-requests": "59",
        "reset-requests": "500ms",
        "limit-tokens": "1000",
        "remaining-tokens": "0",
        "reset-tokens": "2m29.5s",
    }


def test_a_refusal_has_the_headers_too() -> None:
    meter, alice = Meter(), key(requests_per_minute=1)
    meter.admit(alice, "m", 0)
    with pytest.raises(RefusedError) as caught:
        meter.admit(alice, "m", 0)
    assert dict(pairs(caught.value.header_lines)) == {
        b"retry-after": b"60",
        b"x-ratelimit-limit-requests": b"1",
        b"x-ratelimit-remaining-requests": b"0",
        b"x-ratelimit-reset-requests": b"1m0s",
    }


def test_a_reload_with_the_same_limits_forgets_nothing() -> None:
    meter = Meter()
    assert admitted(meter, key(requests_per_minute=2), 0, 9) == 2
    assert admitted(meter, Key("alice", b"another", requests_per_minute=2), 0, 9) == 0


def test_a_new_limit_starts_afresh_but_requests_in_progress_still_count() -> None:
    meter, before = Meter(), key(requests_per_minute=1, max_concurrent=2)
    account = begin(meter, before, 0)
    after = key(requests_per_minute=5, max_concurrent=2)
    meter.admit(after, "m", 0)
    assert refusal(meter, after, 0)[0] == 429
    account.release()
    meter.admit(after, "m", 0)


def test_gateways_share_a_limit_and_each_lets_at_least_one_through() -> None:
    meter, alice = Meter(), key(requests_per_minute=10, max_concurrent=5)
    meter.share_among(2)
    assert admitted(meter, alice, 0, 20) == 5
    meter.share_among(100)
    assert admitted(meter, alice, 60, 20) == 1
    meter.share_among(1)
    assert shown(begin(meter, alice, 120))["limit-requests"] == "10"
    meter.share_among(2)
    assert shown(begin(meter, alice, 180)) == {
        "limit-requests": "5",
        "remaining-requests": "4",
        "reset-requests": "12s",
    }
    assert refusal(meter, alice, 180) == (429, "rate_limit_exceeded", "1")


def test_a_change_of_share_gives_nothing_away() -> None:
    meter, alice = Meter(), key(requests_per_minute=10)
    assert admitted(meter, alice, 0, 20) == 10
    for share in (2, 1, 3):
        meter.share_among(share)
        assert refusal(meter, alice, 0)[0] == 429


def test_no_number_of_tokens_breaks_an_account() -> None:
    meter, alice = Meter(), key(tokens_per_minute=100)
    begin(meter, alice, 0).charge(10**5000, 1)
    assert refusal(meter, alice, 2)[:2] == (429, "rate_limit_exceeded")


def sequences_refused(meter: Meter, key: Key, sequences: int) -> tuple[int, str | None]:
    with pytest.raises(RefusedError) as caught:
        meter.admit(key, "m", 0, sequences=sequences)
    return caught.value.status, caught.value.error.code


def test_sequences_count_and_not_requests() -> None:
    meter, alice = Meter(), key(max_concurrent=10)
    first = meter.admit(alice, "m", 0, sequences=8)
    assert sequences_refused(meter, alice, 3) == (429, "rate_limit_exceeded")
    second = meter.admit(alice, "m", 0, sequences=2)
    assert first is second is not None
    first.release(8)
    first.release(2)
    assert first.in_flight == 0


def test_more_sequences_than_a_key_may_ever_have_are_refused_for_good() -> None:
    assert sequences_refused(Meter(), key(max_concurrent=10), 11) == (400, "too_many_sequences")


def test_what_is_larger_than_a_gateways_part_has_its_turn_alone() -> None:
    meter, alice = Meter(), key(max_concurrent=8)
    meter.share_among(4)
    account = meter.admit(alice, "m", 0, sequences=8)
    assert account is not None
    assert sequences_refused(meter, alice, 1) == (429, "rate_limit_exceeded")
    account.release(8)
    assert meter.admit(alice, "m", 0, sequences=2) is account
    assert sequences_refused(meter, alice, 1) == (429, "rate_limit_exceeded")
