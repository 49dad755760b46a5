"""Clients' compressed bodies made plain. Workers never see them compressed."""

import asyncio

from fastchat._runtime.coding import ACCEPTED, QUICK_BYTES, TooLargeError, coding_of, expand
from fastchat._runtime.refusal import RefusalError
from fastchat_gateway.errors import RefusedError, too_large

_UNSUPPORTED = 415


def expand_at_once(body: bytes, header: bytes, most: int) -> bytes | None:
    """The plain body; None where it takes so long that it should not hold up the event loop. Raises RefusedError."""
    if len(body) > QUICK_BYTES:
        return None
    try:
        return _expanded(body, header, min(most, QUICK_BYTES))
    except TooLargeError:
        return None


async def expand_aside(body: bytes, header: bytes, most: int) -> bytes:
    """The plain body, made on another thread; raises RefusedError, 413 for more than `most` bytes."""
    try:
        return await asyncio.to_thread(_expanded, body, header, most)
    except TooLargeError:
        raise too_large(most) from None


def _expanded(body: bytes, header: bytes, most: int) -> bytes:
    try:
        coding = coding_of(header.decode("latin-1"))
        return expand(body, coding, most) if coding else body
    except RefusalError as refusal:
        lines = b"accept-encoding: %b\r\n" % ACCEPTED.encode() if refusal.status == _UNSUPPORTED else b""
        raise RefusedError(refusal.status, refusal.error, lines) from None
