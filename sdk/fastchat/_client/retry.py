"""When a call is sent again, and how long to wait before."""

import email.utils
import math
import random
import time
from collections.abc import Mapping

import httpx

Outcome = httpx.Response | httpx.HTTPError
"""What came of one attempt: a response (read, unless it is an event stream), or httpx's failure."""


def retry_delay(outcome: Outcome, attempt: int, max_retries: int) -> float | None:
    """Seconds to the next attempt (the first is attempt 0); None: this outcome is final.

    Tried again: what never reached a server, and a 429 or 503 that says when to come back, if that is within a minute.
    The server's time is kept; the back-off on top of it spreads those who were sent away together.
    """
    if attempt >= max_retries:
        return None
    if isinstance(outcome, (httpx.ConnectError, httpx.ConnectTimeout)):
        wait: float | None = 0.0
    elif isinstance(outcome, httpx.Response) and outcome.status_code in (429, 503):
        wait = retry_after(outcome.headers, time.time())
    else:
        wait = None
    if wait is None or wait > 60:
        return None
    return wait + backoff(attempt)


def backoff(attempt: int) -> float:
    """Half a second, doubled with each attempt up to 8 s, less a random part of up to a half."""
    return math.ldexp(0.5, min(attempt, 4)) * random.uniform(0.5, 1.0)  # noqa: S311  # not a secret


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds of the `Retry-After` header, given as a number or as a date; None: there is none, or it is neither."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
