"""The graceful stop: what is in flight finishes, what is new is turned away."""

from fastchat_gateway.exchange import Exchange


class Drain:
    """Knows what is in flight."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None
        self._in_flight: set[Exchange] = set()

    @property
    def draining(self) -> bool:
        return self._deadline is not None

    def enter(self, exchange: Exchange) -> None:
        self._in_flight.add(exchange)

    def leave(self, exchange: Exchange) -> None:
        self._in_flight.discard(exchange)

    def begin(self, now: float) -> None:
        if self._deadline is None:
            self._deadline = now + self._grace_seconds

    def done(self, now: float) -> bool:
        """Nothing is in flight any more, or the grace period is over and what is left has been told so."""
        if self._deadline is None:
            return False
        if self._in_flight and now < self._deadline:
            return False
        for exchange in self._in_flight:
            exchange.stop("shutdown")
        return True
