"""Two who write one object: the operator gives way step by step, and says to whom."""

import pytest

from fastchat_operator.kube.kind import DEPLOYMENT
from fastchat_operator.reconcile.contest import QUIET_SECONDS, Contests, Subject, rival_of

WORKERS = Subject(DEPLOYMENT, "team", "a-worker")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def contests(clock):
    return Contests(clock)


def fight(contests, clock, seconds, mark=lambda: "same"):
    """Times of the writes of an operator whose object somebody else changes at once, every time."""
    written, end = [], clock.now + seconds
    while clock.now < end:
        if not contests.wait(WORKERS):
            contested = contests.contested(WORKERS, mark())
            contests.wrote(WORKERS, mark(), "field manager 'x'" if contested else "")
            written.append(clock.now)
        clock.now += 0.01
    return written


def test_a_few_changes_by_somebody_else_are_put_right_at_once(contests):
    for _ in range(3):
        assert contests.wait(WORKERS) == 0
        contests.wrote(WORKERS, "same")
    assert contests.rival(WORKERS) == ""


def test_a_fight_takes_a_handful_of_writes_and_at_last_one_a_minute(contests, clock):
    assert len(fight(contests, clock, 5)) <= 7
    assert contests.rival(WORKERS) == "field manager 'x'"
    written = fight(contests, clock, 600)
    assert len(written) <= 16
    assert written[-1] - written[-2] == pytest.approx(60, abs=0.1)


def test_after_a_quiet_while_all_is_forgotten(contests, clock):
    fight(contests, clock, 5)
    assert list(contests.subjects()) == [WORKERS]
    clock.now += QUIET_SECONDS + 1
    assert not contests.wait(WORKERS)
    assert contests.rival(WORKERS) == ""
    assert list(contests.subjects()) == []


def test_what_is_quiet_takes_no_memory(contests, clock):
    for number in range(1000):
        contests.wrote(Subject(DEPLOYMENT, "team", str(number)), "same")
        clock.now += 1
    assert len(contests._records) <= QUIET_SECONDS + 1


def test_writes_that_each_say_something_new_are_no_fight(contests, clock):
    numbers = iter(range(10**6))
    assert len(fight(contests, clock, 5, lambda: str(next(numbers)))) >= 500


def test_a_fight_goes_on_when_what_is_written_changes(contests, clock):
    fight(contests, clock, 5)
    numbers = iter(range(10**6))
    assert len(fight(contests, clock, 5, lambda: str(next(numbers)))) <= 1


def written_by(*entries):
    fields = [{"manager": manager, "time": time, "subresource": part} for manager, time, part in entries]
    return {"metadata": {"managedFields": fields}}


@pytest.mark.parametrize(
    ("there", "subresource", "rival"),
    [
        (
            written_by(("fastchat-operator", "2026-01-01T00:00:01Z", ""), ("helm", "2026-01-01T00:00:01Z", "")),
            *("", "field manager 'helm'"),
        ),
        (
            written_by(("helm", "2026-01-01T00:00:00Z", ""), ("fastchat-operator", "2026-01-01T00:00:01Z", "")),
            *("", "another operator of FastChat (field manager 'fastchat-operator')"),
        ),
        (
            written_by(
                ("fastchat-operator", "2026-01-01T00:00:00Z", ""),
                ("argocd", "2026-01-01T00:00:01Z", ""),
                ("kube-controller-manager", "2026-01-01T00:00:02Z", "status"),
            ),
            *("", "field manager 'argocd'"),
        ),
        (
            written_by(("team", "2026-01-01T00:00:02Z", ""), ("old", "2026-01-01T00:00:01Z", "status")),
            *("status", "field manager 'old'"),
        ),
        (None, "", "somebody who deletes it"),
    ],
    ids=["another", "one of us", "not the controller's status", "the status", "deleted"],
)
def test_the_rival_is_who_wrote_last(there, subresource, rival):
    assert rival_of(there, subresource) == rival
