"""Waiting for what another thread, process or controller does in its own time, and doing something meanwhile."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 180.0
"""Longer than anything takes that works: a busy machine makes a test slow, not red."""
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.25  # what takes long is asked rarely: a busy machine has better things to do


def eventually(
    probe: Callable[[], T | None],
    seconds: float = PATIENCE_SECONDS,
    *,
    said: Callable[[], object] | None = None,
    ignoring: tuple[type[Exception], ...] = (),
) -> T:
    """What `probe` returns once that is true; what it raises of `ignoring` counts as not yet.

    Raises:
        AssertionError: it is still not true after so many seconds; the message has what it returned last, and what
            `said` returns, such as a log.
    """
    deadline, pauses = time.monotonic() + seconds, _pauses()
    while True:
        is_last = time.monotonic() > deadline
        try:
            found = probe()
        except ignoring as error:
            if is_last:
                raise AssertionError(_complaint(seconds, error, said)) from error
        else:
            if found:
                return found
            if is_last:
                raise AssertionError(_complaint(seconds, found, said))
        time.sleep(next(pauses))


async def eventually_async(probe: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """As `eventually`, for a function or a coroutine function; the event loop goes on meanwhile."""
    deadline, pauses = time.monotonic() + seconds, _pauses()
    while True:
        is_last = time.monotonic() > deadline
        found = probe()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if is_last:
            raise AssertionError(_complaint(seconds, found, None))
        await asyncio.sleep(next(pauses))


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)


def _complaint(seconds: float, last: object, said: Callable[[], object] | None) -> str:
    return f"not after {seconds:g} s: {last!r}" + (f"\n{said()}" if said else "")


@contextmanager
def repeatedly(act: Callable[[], object], seconds: float = 0.0) -> Iterator[None]:
    """Calls it again and again in a thread, with so long a pause before each call, until the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
