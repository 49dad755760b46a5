"""Which endpoint a request goes to, and which are left out for a while. Pure: time and chance come from outside."""

import math
import random
from collections.abc import Container, Sequence

from fastchat_gateway.routing.catalog import NO_LIMIT, Endpoint

FAILURES_BEFORE_EJECTION = 3
FIRST_EJECTION_SECONDS = 1.0
LONGEST_EJECTION_SECONDS = 30.0
LOAD_FACTOR = 1.25
"""With a prefix, no endpoint gets more than this times the mean."""


def pick(
    endpoints: Sequence[Endpoint],
    now: float,
    tried: Container[tuple[str, int]] = (),
    *,
    most_outstanding: int = NO_LIMIT,
    prefix: int | None = None,
) -> Endpoint | None:
    """The ready endpoint with the fewest requests outstanding that was not tried yet, ties broken at random.

    One that is ejected, or was and is being tried, is the last resort: where all are, all are used. One that fell
    silent is not ready, whatever discovery said before. With a `prefix`, the one to which it belongs, if that has room.
    """
    ready = [one for one in endpoints if one.ready and not one.silent and not (tried and one.attempt_key in tried)]
    fit = [one for one in ready if one.ejected_until <= now and not one.on_trial] or ready
    if prefix is not None:
        return _belongs_to(prefix, fit, most_outstanding)
    least = most_outstanding
    best: list[Endpoint] = []
    for one in fit:
        outstanding = one.outstanding
        if outstanding < least:
            best, least = [one], outstanding
        elif outstanding == least and best:
            best.append(one)
    if len(best) < 2:
        return best[0] if best else None
    return best[int(random.random() * len(best))]  # noqa: S311  # a tie, not a secret


def note_success(endpoint: Endpoint) -> None:
    endpoint.failures = endpoint.ejections = 0
    endpoint.on_trial = False


def note_failure(endpoint: Endpoint, now: float) -> bool:
    """Count a failure; True when it ejects the endpoint, each time for twice as long.

    It takes three in a row, and only one of an endpoint that was ejected and has served no request since.
    """
    endpoint.suspect = True
    endpoint.failures += 1
    if endpoint.failures < FAILURES_BEFORE_EJECTION and not (endpoint.ejections and endpoint.ejected_until <= now):
        return False
    endpoint.failures = 0
    seconds = min(FIRST_EJECTION_SECONDS * 2**endpoint.ejections, LONGEST_EJECTION_SECONDS)
    endpoint.ejections += 1
    endpoint.ejected_until = now + seconds
    return True


def _belongs_to(prefix: int, endpoints: Sequence[Endpoint], most_outstanding: int) -> Endpoint | None:
    """Rendezvous hashing with bounded loads (https://arxiv.org/abs/1608.01350): every gateway finds the same one."""
    total = sum(endpoint.outstanding for endpoint in endpoints)
    bound = min(most_outstanding, math.ceil(LOAD_FACTOR * (total + 1) / max(len(endpoints), 1)))
    with_room = [endpoint for endpoint in endpoints if endpoint.outstanding < bound]
    return max(with_room, key=lambda endpoint: hash((prefix, endpoint.seed)), default=None)
