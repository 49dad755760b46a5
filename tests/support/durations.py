"""Pytest plugin: where the minutes of a long run went, by the folders of the tests."""

import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import PurePath

import pytest

WORTH_SAYING_SECONDS = 60


class Durations:
    """Seconds of all tests of a folder, fixtures included: one that serves many tests counts where it is made."""

    def __init__(self) -> None:
        self._collecting = 0.0
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._tests: defaultdict[str, set[str]] = defaultdict(set)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        began = time.monotonic()
        result = yield
        self._collecting = time.monotonic() - began
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file, _, _ = report.nodeid.partition("::")
        folder = str(PurePath(file).parent)
        self._seconds[folder] += report.duration
        self._tests[folder].add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if sum(self._seconds.values(), self._collecting) < WORTH_SAYING_SECONDS:
            return
        terminalreporter.section("minutes per folder")
        terminalreporter.write_line(f"{self._collecting / 60:6.1f}  collecting")
        for folder, seconds in sorted(self._seconds.items(), key=lambda each: -each[1]):
            terminalreporter.write_line(f"{seconds / 60:6.1f}  {folder}, {len(self._tests[folder])} tests")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Durations())
