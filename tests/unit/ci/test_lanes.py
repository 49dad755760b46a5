"""Lanes of `make test`: side by side, red if any is, ended by Ctrl-C together."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LANES = Path(__file__).parents[3] / ".ci/lanes.py"
MAKEFILE = """
meets: ; @echo begun > here; while [ ! -e there ]; do sleep 0.05; done; echo met
other: ; @echo begun > there; while [ ! -e here ]; do sleep 0.05; done; echo met
fails: ; @echo "FAILED tests/test_a.py::test_it - AssertionError"; exit 3
waits: ; @trap 'echo cleaned up; exit 1' INT; echo waiting; while :; do sleep 0.05; done
leaves: ; @sleep 60 & echo gone
steps: fails meets
alone alone-too: ; @test -e here -a -e there && echo after meets and other
"""


@pytest.fixture
def start(tmp_path):
    """Starts lanes for targets of the Makefile above."""
    (tmp_path / "Makefile").write_text(MAKEFILE)

    started = []

    def start(*targets):
        command = [sys.executable, LANES, *targets]
        started.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for lanes in started:
        lanes.terminate()
        lanes.wait()


def test_lanes_run_side_by_side_and_each_line_says_whose_it_is(start):
    lanes = start("meets", "other")
    said, _ = lanes.communicate(timeout=60)
    assert lanes.returncode == 0
    assert sorted(re.sub(r"\d+\.\d", "N", said).splitlines()) == [
        "",
        "meets | met",
        "meets | passed after N minutes",
        "other | met",
        "other | passed after N minutes",
    ]


def test_a_lane_that_fails_makes_all_red_and_its_failed_tests_are_said_at_the_end(start):
    lanes = start("fails", "leaves")
    said, _ = lanes.communicate(timeout=60)
    assert lanes.returncode == 1
    *_, failed, test, passed = said.splitlines()
    assert failed.startswith("fails  | failed (2) after ")
    assert test == "fails  | FAILED tests/test_a.py::test_it - AssertionError"
    assert passed.startswith("leaves | passed")


def test_what_comes_after_a_step_that_failed_is_made_all_the_same(start):
    lanes = start("steps", "other")
    said, _ = lanes.communicate(timeout=60)
    assert lanes.returncode == 1
    assert "steps | met\n" in said


def test_as_one_target_ends_the_next_begins_and_no_more_than_so_many_are_made_at_once(start):
    lanes = start("--at-once", "2", "meets", "other", "alone", "alone-too")
    said, _ = lanes.communicate(timeout=60)
    assert lanes.returncode == 0
    assert [line.split(" | ")[1] for line in said.splitlines() if "alone" in line] == [
        "after meets and other",
        "after meets and other",
        "passed after 0.0 minutes",
        "passed after 0.0 minutes",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_an_interrupt_nothing_begins(start, number):
    lanes = start("--at-once", "1", "waits", "leaves")
    assert lanes.stdout.readline() == "waits  | waiting\n"
    lanes.send_signal(number)
    said, _ = lanes.communicate(timeout=60)
    assert lanes.returncode == 130
    assert "gone" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_every_lane_as_ctrl_c_does(start, number):
    lanes = start("waits", "other")
    assert lanes.stdout.readline() == "waits | waiting\n"
    lanes.send_signal(number)
    said, _ = lanes.communicate(timeout=60)
    assert lanes.returncode == 130
    assert "waits | cleaned up\n" in said
