from fastchat.local.process import RestartBackoff, describe_exit


def delays_after(backoff: RestartBackoff, *lifetimes: float) -> list[float]:
    """The delay after each exit of a process that ran so long."""
    delays, now = [], 0.0
    for seconds in lifetimes:
        backoff = backoff.started(now)
        now += seconds
        backoff = backoff.exited(now)
        delays.append(backoff.delay)
        now += backoff.delay
    return delays


def test_the_delay_doubles_from_1_to_30_seconds() -> None:
    assert delays_after(RestartBackoff(), *[1.0] * 7) == [1, 2, 4, 8, 16, 30, 30]


def test_a_minute_of_running_makes_the_next_delay_1_second_again() -> None:
    assert delays_after(RestartBackoff(), 5, 5, 59, 60, 5) == [1, 2, 4, 1, 2]


def test_a_thousand_exits_are_still_a_delay_of_30_seconds() -> None:
    assert RestartBackoff(exits=1000).exited(0).delay == 30


def test_being_ready_once_is_remembered_through_a_restart() -> None:
    backoff = RestartBackoff().started(0)
    assert not backoff.exited(1).was_ready
    assert backoff.ready().exited(1).started(2).was_ready


def test_an_end_is_described_by_its_code_or_its_signal() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
