from fastchat.local.process import Life, describe_exit


def dying(life: Life, *lifetimes: float) -> list[float]:
    """The delay after each death of a child that lived so long."""
    delays, now = [], 0.0
    for seconds in lifetimes:
        life = life.started(now)
        now += seconds
        life = life.died(now)
        delays.append(life.delay)
        now += life.delay
    return delays


def test_the_delay_doubles_from_1_to_30_seconds() -> None:
    assert dying(Life(), *[1.0] * 7) == [1, 2, 4, 8, 16, 30, 30]


def test_a_minute_of_life_makes_the_next_delay_1_second_again() -> None:
    assert dying(Life(), 5, 5, 59, 60, 5) == [1, 2, 4, 1, 2]


def test_a_thousand_deaths_are_still_a_delay_of_30_seconds() -> None:
    assert Life(deaths=1000).died(0).delay == 30


def test_being_ready_once_is_remembered_through_a_restart() -> None:
    life = Life().started(0)
    assert not life.died(1).was_ready
    assert life.ready().died(1).started(2).was_ready


def test_an_end_is_described_by_its_code_or_its_signal() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
