"""A line of the access log. By msgspec's class, so not compiled."""

import msgspec


class AccessRecord(msgspec.Struct):
    """What is written of a request."""

    time: str
    request_id: str
    method: str
    path: str
    model: str
    key: str
    """Name of its API key."""
    endpoint: str
    """URL of the worker that had it last."""
    status: int
    outcome: str
    ttfb_ms: float | None
    duration_ms: float
    bytes: int
    """Of the response's body."""
