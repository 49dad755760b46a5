"""The time as of the last tick: exact enough for timeouts, and free to read."""

import time
from email.utils import formatdate


class Clock:
    """Ticked by the server a few times a second."""

    def __init__(self) -> None:
        self.tick()

    def tick(self) -> None:
        self.now = time.monotonic()
        """Seconds of the monotonic clock."""
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
        """The header line of an answer."""
