"""The graceful stop: what is in flight finishes, what is new is turned away."""

from fastchat_gateway.proxy.exchange import Exchange

LAST_REQUEST_SECONDS = 0.5
"""Clients with an open connection have this long to send one more request; its response closes the connection."""


class Drain:
    """Knows what is in flight."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._began: float | None = None
        self.draining = False
        self.in_flight: set[Exchange] = set()

    def begin(self, now: float) -> None:
        if self._began is None:
            self._began = now
            self.draining = True

    def done(self, now: float, *, connections: int = 0) -> bool:
        """Nothing is in flight any more, or the grace period is over and what is left has been told so."""
        if self._began is None:
            return False
        if now < self._began + self._grace_seconds:
            return not self.in_flight and (not connections or now >= self._began + LAST_REQUEST_SECONDS)
        for exchange in list(self.in_flight):
            exchange.shut_down()
        return True
