"""How often a progress is written."""

import pytest

from fastchat.v1alpha1.status import LoadProgress
from fastchat_operator.key import ModelKey
from fastchat_operator.reconcile.pace import LEAST_SECONDS, Pace

KEY = ModelKey("team", "vicuna")


def at(percent: int) -> LoadProgress:
    return LoadProgress(phase="Downloading", percent=percent, summary=f"Downloading {percent}%")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_between_two_changes_there_are_seconds(clock: Clock) -> None:
    pace, shown = Pace(clock), []
    for second in range(10):
        clock.now = float(second)
        shown.append(pace.show(KEY, at(second)))
    assert shown == [at(0)] * 3 + [at(3)] * 3 + [at(6)] * 3 + [at(9)]
    assert LEAST_SECONDS == 3


def test_the_end_is_shown_at_once(clock: Clock) -> None:
    pace = Pace(clock)
    pace.show(KEY, at(1))
    assert pace.show(KEY, None) is None
    assert pace.show(KEY, at(2)) == at(2)


def test_each_has_a_pace_of_its_own(clock: Clock) -> None:
    pace = Pace(clock)
    pace.show(KEY, at(1))
    assert pace.show(ModelKey("team", "other"), at(2)) == at(2)
