"""The numbers of a load."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.cli.bench.figures import Spread, figures, percentile
from fastchat.cli.bench.load import Timed


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0.1, 100))
def test_a_percentile_is_the_least_time_that_so_many_do_not_exceed(times: list[float], percent: float) -> None:
    found = percentile(sorted(times), percent)
    assert found in times
    assert sum(time <= found for time in times) * 100 >= percent * len(times) * (1 - 1e-9)
    assert sum(time < found for time in times) * 100 < percent * len(times) * (1 + 1e-9)


def test_figures_are_of_the_streams_that_succeeded() -> None:
    result = figures(
        [
            Timed(10.0, 14.0, array("d", [11.0, 12.0, 13.5]), prompt_tokens=5, completion_tokens=6),
            Timed(11.0, 15.0, array("d", [13.0]), prompt_tokens=5, completion_tokens=1),
            Timed(12.0, 20.0, error="lost"),
        ]
    )
    assert (result.seconds, result.succeeded, result.prompt_tokens, result.completion_tokens) == (10.0, 2, 10, 7)
    assert (result.first_token.mean, result.first_token.p50, result.first_token.p99) == (1.5, 1.0, 2.0)
    assert (result.between_events.p50, result.between_events.p99) == (1.0, 1.5)
    assert result.per_token.mean == pytest.approx(2.5 / 5)
    assert (result.whole.p50, dict(result.errors)) == (4.0, {"lost": 1})


def test_of_nothing_all_figures_are_0() -> None:
    result = figures([])
    assert (result.seconds, result.requests_per_second, result.first_token) == (0, 0, Spread(0, 0, 0, 0))
