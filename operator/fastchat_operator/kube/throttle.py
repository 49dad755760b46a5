"""What the API server asks for with 429 and Retry-After: not to be called for a while, and then by few at a time."""

import time

_NEXT_SECONDS = 1.0
_MOST = 10_000


class Throttle:
    """After a refusal nobody calls until it is time, then one, and with every answer one more at a time."""

    def __init__(self) -> None:
        self._until = 0.0
        self._under_way = 0
        self._limit = _MOST

    def wait(self) -> float:
        """Seconds before which no call is to be made; 0: this one may be, and `ended` is told how it went."""
        left = self._until - time.monotonic()
        if left > 0:
            return left
        if self._under_way >= self._limit:
            return _NEXT_SECONDS
        self._under_way += 1
        return 0.0

    def ended(self, retry_after: float | None) -> None:
        """A call was refused, not to be made again for so many seconds; None: it was answered, or not reached."""
        self._under_way -= 1
        if retry_after is None:
            self._limit = min(self._limit + 1, _MOST)
        else:
            self._limit = 1
            self._until = max(self._until, time.monotonic() + retry_after)
