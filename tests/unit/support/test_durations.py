"""A long run says where its minutes went."""

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs two folders of tests with a plugin that finds so many seconds worth saying."""
    pytester.makefile(".py", **{"one/test_a": "def test_it(): pass", "two/test_b": "def test_it(): pass"})

    def run(seconds):
        monkeypatch.setattr("support.durations.WORTH_SAYING_SECONDS", seconds)
        return pytester.runpytest_inprocess(
            "--import-mode=importlib", "-p", "support.durations", "-p", "no:asyncio"
        ).stdout

    return run


def test_minutes_are_summed_up_by_folder(run):
    run(0).fnmatch_lines_random(
        ["*minutes per folder*", "*0.0  collecting", "*0.0  one, 1 tests", "*0.0  two, 1 tests"]
    )


def test_a_short_run_says_nothing_of_them(run):
    run(3600).no_fnmatch_line("*minutes per folder*")
