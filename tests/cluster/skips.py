"""Pytest plugin: what a test run may leave out.

On Linux as root everything that the tests need is there or can be had, so there a test that is skipped has failed.
Elsewhere it is skipped, and so it is everywhere for what nobody can install (NotHere); the summary says why.
"""

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from cluster.tools.binaries import UnavailableError, UnsupportedError

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


class NotHere(pytest.skip.Exception):  # type: ignore[misc,name-defined]  # a skip is no error
    """Skips a test for what this machine cannot be given: a GPU, a feature of the kernel."""


@contextmanager
def or_skip() -> Iterator[None]:
    """Skip where something cannot be had."""
    try:
        yield
    except UnsupportedError as reason:
        raise NotHere(str(reason)) from None
    except UnavailableError as reason:
        pytest.skip(str(reason))


def may_skip() -> bool:
    """Whether it is no fault that something cannot be had on this machine, by this user."""
    return sys.platform != "linux" or os.geteuid() != 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _judge((yield), call)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _judge(report, report.call)  # pytest sets it for whoever debugs a collection


def _judge(report: Report, call: pytest.CallInfo[Any]) -> Report:
    """A skip where nothing may be skipped becomes a failure with the same reason."""
    reason = call.excinfo.value if call.excinfo else None
    skipped = report.outcome == "skipped" and not hasattr(report, "wasxfail") and reason is not None
    if skipped and not isinstance(reason, NotHere) and not may_skip():
        report.outcome = "failed"
        report.longrepr = f"on Linux as root nothing is left out, and this was: {reason}"
    return report
