"""What counts as progress of a worker that loads, and when it is given up."""

import pytest

from fastchat_worker.telemetry.watchdog import Activity, activity, stands_still, worked

IDLE = Activity("loading", cpu=10.0, moved=10_000, faults=10)


@pytest.mark.parametrize(
    "after",
    [
        Activity("downloading: 2 GB", 10.0, 10_000, 10),
        Activity("loading", 11.0, 10_000, 10),
        Activity("loading", 10.0, 5_000_000, 10),
        Activity("loading", 10.0, 10_000, 200),
    ],
)
def test_any_kind_of_work_is_progress(after):
    assert worked(IDLE, after, 10)


def test_what_answering_probes_takes_is_no_progress():
    assert not worked(IDLE, Activity("loading", 10.2, 90_000, 12), 10)


def test_a_process_that_computes_is_seen_to():
    before = activity("loading")
    for _ in range(10**6):
        pass
    assert worked(before, activity("loading"), 0.01)


def test_it_stands_still_when_nothing_moved_for_the_whole_time():
    assert stands_still(lambda: IDLE, lambda: False, 0.05)


def test_progress_starts_the_time_anew():
    details = iter([*map(str, range(5)), *["stuck"] * 100])
    assert stands_still(lambda: Activity(next(details)), lambda: False, 0.05)
    assert 100 - len(list(details)) == 11  # the look that came to "stuck", and ten that found nothing new


def test_loading_that_ends_is_not_blamed():
    ends = iter([False, False, True])
    assert not stands_still(lambda: IDLE, lambda: next(ends), 0.05)
