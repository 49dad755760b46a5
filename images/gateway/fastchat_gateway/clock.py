"""The time as of the last tick: exact enough for timeouts, and free to read. And how a time is written."""

import time
from email.utils import formatdate
from functools import lru_cache

_THOUSANDTHS = [f".{number:03d}+00:00" for number in range(1000)]


class Clock:
    """Ticked by the server a few times a second."""

    def __init__(self) -> None:
        self.tick()

    def tick(self) -> None:
        self.now = time.monotonic()
        """Seconds of the monotonic clock."""
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
        """The `date` header line of a response."""


def timestamp(seconds: float) -> str:
    """Unix time as RFC 3339 has it, to the millisecond."""
    whole = int(seconds)
    return _second(whole) + _THOUSANDTHS[int((seconds - whole) * 1000)]


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
