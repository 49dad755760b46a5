"""How a head is recognised without a parser: mostly the next one of a connection is the same."""

from typing import Generic, TypeVar

_LENGTH = b"\r\ncontent-length: "
_LENGTH_END = b"ength: "
_MOST_DIGITS = 9
_LONGEST_KEPT = 4096

T = TypeVar("T")


class HeadCache(Generic[T]):
    """What a connection's last head said: mostly the next one is the same but for the value of its content-length.

    That is seen without a parser. It has read one like it, found each header on a line of its own, and the number
    after `content-length: ` at this very place: nothing is left to interpret.
    """

    __slots__ = ("_after", "_at", "_before", "said")

    said: T

    def __init__(self) -> None:
        self._before = b"\0"  # no head begins with it
        self._after = b""
        self._at = 0

    def body(self, data: bytes) -> bytes | None:
        """The body of the whole message that this is, if it comes under the same head."""
        if not data.startswith(self._before):
            return None
        stop = data.find(b"\r", self._at, self._at + _MOST_DIGITS + 1)
        digits = data[self._at : stop]
        start = stop + len(self._after)
        if digits.isdigit() and data.startswith(self._after, stop) and start + int(digits) == len(data):
            return data[start:]
        return None

    def keep(self, data: bytes, headers: int, said: T) -> None:
        """Remember what a parser has read in the head at the beginning of `data`, with so many `headers`."""
        end = data.find(b"\r\n\r\n")
        at = data.rfind(_LENGTH_END, 0, end) + len(_LENGTH_END)
        stop = data.find(b"\r", at, end + 1)
        if end <= _LONGEST_KEPT and data[at:stop].isdigit() and _is_plain(data[:end].lower(), headers, at):
            self._before, self._after, self._at = data[:at], data[stop : end + 4], at
            self.said = said


def _is_plain(lines: bytes, headers: int, at: int) -> bool:
    """Each header has a line, none ends otherwise, and one alone says how long the body is, up to `at`."""
    ends = lines.count(b"\n"), lines.count(b"\r\n")
    says = lines.count(b"content-length"), lines.count(b"transfer-encoding")
    return ends == (headers, headers) and says == (1, 0) and lines[:at].endswith(_LENGTH)
