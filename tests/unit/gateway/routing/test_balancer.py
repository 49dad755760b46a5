import pytest

from fastchat_gateway.routing.balancer import note_failure, note_success, pick
from fastchat_gateway.routing.catalog import Endpoint


def endpoint(name: str, outstanding: int = 0, *, ready: bool = True, ejected_until: float = 0.0) -> Endpoint:
    made = Endpoint(f"http://{name}")
    made.outstanding, made.ready, made.ejected_until = outstanding, ready, ejected_until
    return made


def test_the_endpoint_with_the_fewest_outstanding_requests_is_picked() -> None:
    busy, idle = endpoint("busy", 3), endpoint("idle", 2)
    assert pick([busy, idle], now=0) is idle


def test_ties_are_spread() -> None:
    tied = [endpoint("a", 1), endpoint("b", 1), endpoint("c", 2)]
    assert {pick(tied, now=0) for _ in range(100)} == set(tied[:2])


def test_an_endpoint_that_is_not_ready_is_never_picked() -> None:
    assert pick([endpoint("a", ready=False)], now=0) is None


def test_an_endpoint_that_was_tried_is_not_picked_again() -> None:
    one, other = endpoint("one"), endpoint("other", 9)
    assert pick([one, other], now=0, tried={one.attempt_key}) is other
    assert pick([one, other], now=0, tried={one.attempt_key, other.attempt_key}) is None


def test_an_endpoint_that_was_tried_and_came_back_is_another() -> None:
    one = endpoint("one")
    tried = {one.attempt_key}
    one.renew()
    assert pick([one], now=0, tried=tried) is one


def test_an_ejected_endpoint_is_left_out_until_its_time_is_over() -> None:
    ejected, busy = endpoint("ejected", ejected_until=5), endpoint("busy", 9)
    assert pick([ejected, busy], now=4) is busy
    assert pick([ejected, busy], now=5) is ejected


def test_where_all_are_ejected_all_are_used() -> None:
    ejected = [endpoint("a", 1, ejected_until=5), endpoint("b", ejected_until=9)]
    assert pick(ejected, now=0) is ejected[1]


def test_the_third_failure_in_a_row_ejects() -> None:
    failing = endpoint("failing")
    assert [note_failure(failing, now=10) for _ in range(3)] == [False, False, True]
    assert failing.ejected_until == 11


def test_a_success_between_failures_prevents_the_ejection() -> None:
    shaky = endpoint("shaky")
    note_failure(shaky, now=0)
    note_failure(shaky, now=0)
    note_success(shaky)
    assert not note_failure(shaky, now=0)


def test_each_ejection_is_twice_as_long_up_to_half_a_minute() -> None:
    failing = endpoint("failing")
    lengths = []
    for _ in range(7):
        while not note_failure(failing, now=0):
            pass
        lengths.append(failing.ejected_until)
    assert lengths == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("count", [0, 1])
def test_none_is_picked_from_none_and_one_from_one(count: int) -> None:
    endpoints = [endpoint("a")][:count]
    assert pick(endpoints, now=0) is (endpoints[0] if endpoints else None)
