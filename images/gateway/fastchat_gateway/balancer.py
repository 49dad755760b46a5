"""Which endpoint a request goes to, and which are left out for a while. Pure: time and chance come from outside."""

import random
from collections.abc import Container, Sequence

from fastchat_gateway.catalog import Endpoint

FAILURES_BEFORE_EJECTION = 3
FIRST_EJECTION_SECONDS = 1.0
LONGEST_EJECTION_SECONDS = 30.0


def pick(endpoints: Sequence[Endpoint], now: float, tried: Container[tuple[str, int]] = ()) -> Endpoint | None:
    """The ready endpoint with the fewest requests outstanding that was not tried yet, ties broken at random.

    An ejected one is the last resort: where all are ejected, all are used.
    """
    best: list[Endpoint] = []
    least = (True, 0)
    for endpoint in endpoints:
        if not endpoint.ready or (tried and endpoint.incarnation in tried):
            continue
        load = (endpoint.ejected_until > now, endpoint.outstanding)
        if not best or load < least:
            best, least = [endpoint], load
        elif load == least:
            best.append(endpoint)
    if len(best) < 2:
        return best[0] if best else None
    return random.choice(best)  # noqa: S311  # a tie, not a secret


def note_success(endpoint: Endpoint) -> None:
    endpoint.failures = endpoint.ejections = 0


def note_failure(endpoint: Endpoint, now: float) -> bool:
    """Count a failure; True when it ejects the endpoint, each time for twice as long."""
    endpoint.suspect = True
    endpoint.failures += 1
    if endpoint.failures < FAILURES_BEFORE_EJECTION:
        return False
    endpoint.failures = 0
    seconds = min(FIRST_EJECTION_SECONDS * 2**endpoint.ejections, LONGEST_EJECTION_SECONDS)
    endpoint.ejections += 1
    endpoint.ejected_until = now + seconds
    return True
