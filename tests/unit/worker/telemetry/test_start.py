import pytest

from fastchat_worker.telemetry.start import StartPhases, process_age


def test_a_phase_ends_where_the_next_one_begins_and_the_first_began_with_the_process() -> None:
    phases = StartPhases(since_process_start=7)
    for detail in ("reading the chat template", "downloading 1 of 2 GB", "loading the weights", "ready"):
        phases.report(detail)
    assert list(phases.seconds) == ["imports", "source", "weights"]
    assert phases.seconds["imports"] == pytest.approx(7, abs=0.5)
    assert sum(phases.seconds.values()) == pytest.approx(7, abs=1)
    assert str(phases).startswith("7.")


def test_what_comes_after_it_is_ready_belongs_to_no_phase() -> None:
    phases = StartPhases(since_process_start=0)
    phases.report("ready")
    before = dict(phases.seconds)
    phases.report("loading the weights")
    phases.report("ready")
    assert phases.seconds == before


def test_a_process_knows_its_age() -> None:
    assert 0 < process_age() < 1_000_000
