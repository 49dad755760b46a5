"""API keys: kept as digests, compared in constant time."""

import hashlib
import hmac
from collections.abc import Set as AbstractSet


def digest(key: bytes) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key).digest()


def authorized(authorization: bytes, digests: AbstractSet[bytes]) -> bool:
    """Does an `Authorization` header carry one of the keys? Without keys everyone is served."""
    if not digests:
        return True
    scheme, _, key = authorization.strip().partition(b" ")
    if scheme.lower() != b"bearer":
        return False
    presented = digest(key.strip())
    return any(hmac.compare_digest(presented, known) for known in digests)
