"""Compressed request bodies (RFC 9110, 8.4), expanded no further than a plain body may be long."""

import zlib
from collections.abc import Callable, Mapping

from fastchat._runtime.refusal import RefusalError
from fastchat.api import Error

try:
    import zstandard
except ImportError:  # gateway and worker have it
    zstandard = None  # type: ignore[assignment]

QUICK_BYTES = 2**16
"""What is no longer than that, expanded too, takes less time to expand than to hand to a thread."""

_MOST_PARTS = 64
"""Members or frames of a body: each costs something, however little is in it."""
_STEP = 2**8
"""Compressed bytes that zstd gets at a time, for it expands all of them: a block of 128 KiB has four at least."""
_WINDOW = 2**23
"""Bytes of memory that a zstd frame may ask for (RFC 9659)."""


class TooLargeError(Exception):
    """More comes out of the body than may."""


class _DecodeError(ValueError):
    """The body is not what its coding says."""


def expand(body: bytes, coding: str, most: int) -> bytes:
    """The body without its coding, one of `SERVED`; no more than `most` bytes of it are made, and what one step adds.

    Raises: TooLargeError for more than `most`, RefusalError 400 for a body that is cut off or not in this coding.
    """
    try:
        return SERVED[coding](body, most)
    except (_DecodeError, zlib.error) as error:
        message = f"The body is not {coding}, as its 'Content-Encoding' says, or it is cut off: {error}."
        raise RefusalError(400, Error(message=message, code="invalid_encoding")) from None


def coding_of(header: str) -> str:
    """The coding that a `Content-Encoding` names; empty: none. Raises: RefusalError 415 for one that is not served."""
    name = header.strip().lower().removeprefix("x-")
    if name in ("", "identity"):
        return ""
    if name not in SERVED:
        message = f"Bodies are taken as they are, or in one of {ACCEPTED}; not as '{header[:64]}'."
        raise RefusalError(415, Error(message=message, code="unsupported_encoding"))
    return name


def _gzip(body: bytes, most: int) -> bytes:
    return _inflate(body, most, 16 + zlib.MAX_WBITS)


def _deflate(body: bytes, most: int) -> bytes:
    """As RFC 9110 has it, with zlib's frame, or without it, as some clients send it."""
    framed = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0
    return _inflate(body, most, zlib.MAX_WBITS if framed else -zlib.MAX_WBITS)


def _inflate(body: bytes, most: int, window_bits: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for _ in range(_MOST_PARTS):
        member = zlib.decompressobj(window_bits)
        part = member.decompress(body, most - size + 1)
        size += len(part)
        if size > most:
            raise TooLargeError
        if not member.eof:
            raise _DecodeError("its end is missing")
        parts.append(part)
        body = member.unused_data
        if not body:
            return b"".join(parts)
    raise _DecodeError(f"it has more than {_MOST_PARTS} parts")


def _zstd(body: bytes, most: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    frame, frames, size = decompressor.decompressobj(), 1, 0
    parts: list[bytes] = []
    for at in range(0, len(body), _STEP):
        piece = body[at : at + _STEP]
        while piece:
            if frame.eof:
                frame, frames = decompressor.decompressobj(), frames + 1
            if frames > _MOST_PARTS:
                raise _DecodeError(f"it has more than {_MOST_PARTS} parts")
            try:
                part = frame.decompress(piece)
            except zstandard.ZstdError as error:
                raise _DecodeError(str(error)) from None
            size += len(part)
            if size > most:
                raise TooLargeError
            parts.append(part)
            piece = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise _DecodeError("its end is missing")
    return b"".join(parts)


SERVED: Mapping[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    **({"zstd": _zstd} if zstandard else {}),
}
ACCEPTED = ", ".join(SERVED)
"""As an `Accept-Encoding` header says it."""
