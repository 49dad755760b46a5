"""Obeys the API server's 429 with Retry-After: no calls for so long, and then few at a time."""

import time

_NEXT_SECONDS = 1.0
_MOST = 10_000


class Throttle:
    """After a 429 no call is made until its Retry-After is over, then one at a time, with every response one more."""

    def __init__(self) -> None:
        self._until = 0.0
        self._under_way = 0
        self._limit = _MOST

    def wait(self) -> float:
        """Seconds before which no call may be made; 0: this one may be, and `ended` must be called after it."""
        left = self._until - time.monotonic()
        if left > 0:
            return left
        if self._under_way >= self._limit:
            return _NEXT_SECONDS
        self._under_way += 1
        return 0.0

    def ended(self, retry_after: float | None) -> None:
        """Count the end of a call. `retry_after`: seconds of a 429; None: it ended in any other way."""
        self._under_way -= 1
        if retry_after is None:
            self._limit = min(self._limit + 1, _MOST)
        else:
            self._limit = 1
            self._until = max(self._until, time.monotonic() + retry_after)
