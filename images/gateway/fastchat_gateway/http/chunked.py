"""A chunked body as it arrives, read strictly (RFC 9112, 7.1)."""

import re
from typing import TYPE_CHECKING, Final

from fastchat_gateway.http.body import Body
from fastchat_gateway.http.response_head import BadResponseError

if TYPE_CHECKING:
    from mypy_extensions import i64  # mypyc's: machine words, which cost a fraction of Python's numbers

LONGEST_LINE = 4096
_MOST_TRAILERS = 64
_HEX: Final = bytes(int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else 16 for byte in range(256))
"""The value of each hexadecimal digit, 16 for all other bytes."""
_MOST_OF_DIGIT: Final = 15
_MOST_DIGITS: Final = 3
_CR: Final = 13
_LF: Final = 10
_LAST: Final = b"0\r\n\r\n"
_CRLF_CRLF: Final = b"\r\n\r\n"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\0\r\n]*)?")


class Chunked(Body):
    """A body, read by read. Extensions and trailers go no further; each has to end, and so has a line."""

    __slots__ = ("_in_trailers", "_left", "_line", "_line_end", "_trailers")

    def __init__(self) -> None:
        super().__init__()
        self._line = b""
        """Of a line that has not ended yet."""
        self._left = 0
        """Bytes of the chunk that are still to come."""
        self._line_end = False
        """The line's end behind a chunk is what comes next."""
        self._in_trailers = False
        self._trailers = 0

    @property
    def is_between(self) -> bool:
        """What comes next begins a chunk."""
        return not (self._left or self._line or self._line_end or self._in_trailers)

    @property
    def missing(self) -> int:
        """Bytes that are to come of a chunk that has begun, with the line's end behind it; 0 elsewhere."""
        if self._left:
            return self._left + 2
        return 2 - len(self._line) if self._line_end else 0

    def feed(self, data: bytes) -> bytes:
        if self._line:
            data, self._line = self._line + data, b""
        parts: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.complete:
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                self._line_end = not self._left
                continue
            if not (self._line_end or self._in_trailers):
                at = self._read_plain(data, at, parts)
                if at == size or self._left:
                    continue
            end = data.find(b"\n", at, at + LONGEST_LINE)
            if end < 0:
                self._keep_line(data[at:])
                break
            self._read_line(data[at : end + 1])
            at = end + 1
        self.surplus = at < size and self.complete
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_plain(self, data: bytes, at: int, parts: list[bytes]) -> int:
        """Read what comes next and is plain, and the body's end where nothing else is left; returns up to where.

        After whole chunks that may be the size of one that is not whole yet.
        """
        size = len(data)
        while size - at != len(_LAST) or not data.endswith(_LAST):
            start, end = plain_chunk(data, at, size)
            if not end:
                start, self._left = plain_size(data, at, size)
                return start or at
            parts.append(data[start : end - 2])
            at = end
        self.complete = True
        return size

    def _keep_line(self, line: bytes) -> None:
        if self._line_end and line != b"\r":
            raise BadResponseError("a chunk that is longer than its size")
        if len(line) >= LONGEST_LINE:
            raise BadResponseError(f"a line of over {LONGEST_LINE} bytes between chunks")
        self._line = line

    def _read_line(self, line: bytes) -> None:
        """What stands between chunks, or after the last one."""
        if not line.endswith(b"\r\n"):
            raise BadResponseError("a line between chunks that does not end in CRLF")
        if self._line_end:
            if line != b"\r\n":
                raise BadResponseError("a chunk that is longer than its size")
            self._line_end = False
        elif self._in_trailers:
            self._trailers += 1
            if self._trailers > _MOST_TRAILERS:
                raise BadResponseError(f"over {_MOST_TRAILERS} trailers")
            self.complete = line == b"\r\n"
        else:
            given = _SIZE_LINE.fullmatch(line[:-2])
            if given is None:
                raise BadResponseError("a chunk whose size is no number")
            self._left = int(given[1], 16)
            self._in_trailers = not self._left


def plain_size(data: bytes, at: "i64", limit: "i64") -> tuple[int, int]:
    """Where the data of the chunk that begins here starts, and how much it is, 1 to 4,095 bytes.

    (0, 0) where the line with its size does not end before `limit`, or is not a plain one, without extensions.
    """
    table: bytes = _HEX
    start: i64 = at
    length: i64 = 0
    while start < limit and start < at + _MOST_DIGITS:
        digit: i64 = table[data[start]]
        if digit > _MOST_OF_DIGIT:
            break
        length = length * 16 + digit
        start += 1
    if not length or start + 2 > limit or data[start] != _CR or data[start + 1] != _LF:
        return 0, 0
    return start + 2, length


def plain_chunk(data: bytes, at: "i64", limit: "i64") -> tuple[int, int]:
    """Where the data of the chunk that begins here starts, and where the next chunk begins.

    (0, 0) where it is not whole before `limit`, or its size is not plain.
    """
    start, length = plain_size(data, at, limit)
    end: i64 = start + length
    if not start or end + 2 > limit or data[end] != _CR or data[end + 1] != _LF:
        return 0, 0
    return start, end + 2


def whole_events(data: bytes, limit: int) -> tuple[int, int]:
    """How much of it can go on as it came: bytes of plain chunks of up to 4 kB each, and their number.

    They are those with which it begins, end at `limit` at the latest, and the last of them ends with an event.
    The last chunk of a body is not among them.
    """
    at = number = event_end = chunks = 0
    while True:
        start, end = plain_chunk(data, at, limit)
        if not end:
            return event_end, chunks
        number += 1
        if data[end - 3] == _LF and _ends_with_event(data, start, end - 2):
            event_end, chunks = end, number
        at = end


def _ends_with_event(data: bytes, start: "i64", end: "i64") -> bool:
    """The bytes between these places, the last of which is a line feed, end with an event."""
    return end - start > 1 and (data[end - 2] == _LF or data[start:end].endswith(_CRLF_CRLF))
