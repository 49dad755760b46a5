"""Frames the responses on a client's connection, one after the other."""

from collections.abc import Callable
from http import HTTPStatus

from fastchat_gateway.clock import Clock

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


_STATUS_LINES = [_status_line(status) for status in range(1000)]
_BODILESS = frozenset({204, 304})


class ResponseWriter:
    """Begin a response, then write it whole, or its head and its parts."""

    __slots__ = ("_chunks", "_clock", "_held", "_silent", "_write", "keep_alive")

    def __init__(self, write: Callable[[bytes], None], clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._held = b""
        """What goes out with the next part of the body: the head with the first."""
        self._silent = False
        """The response has a head only (RFC 9112, 6.3)."""
        self._chunks = True
        self.keep_alive = True
        """The connection outlives the response."""

    def begin(self, *, method: str, http_1_0: bool, keep_alive: bool) -> None:
        """The response to such a request is next."""
        self._held = b""
        self._silent = method == "HEAD"
        self._chunks = not http_1_0
        self.keep_alive = keep_alive

    @property
    def takes_chunks(self) -> bool:
        """A body of unknown length is chunked: the client speaks HTTP/1.1, and gets a body."""
        return self._chunks and not self._silent

    def whole(self, status: int, lines: bytes, body: bytes) -> None:
        """A response of known length; `lines` are its header lines, without those of its framing."""
        closing = b"" if self.keep_alive else b"connection: close\r\n"
        if self._silent or status in _BODILESS:
            length = b"" if status in _BODILESS else b"content-length: %d\r\n" % len(body)
            self._write(b"%b%b%b%b%b\r\n" % (_STATUS_LINES[status], self._clock.date, lines, closing, length))
            return
        about = _STATUS_LINES[status], self._clock.date, lines, closing, len(body), body
        self._write(b"%b%b%b%bcontent-length: %d\r\n\r\n%b" % about)

    def head(self, status: int, lines: bytes) -> None:
        """The head of a response of unknown length: chunked, or in HTTP/1.0 up to the connection's end."""
        self._silent = self._silent or status in _BODILESS
        if not (self._chunks or self._silent):
            self.keep_alive = False
        closing = b"" if self.keep_alive else b"connection: close\r\n"
        framing = b"transfer-encoding: chunked\r\n" if self.takes_chunks else b""
        self._held = b"%b%b%b%b%b\r\n" % (_STATUS_LINES[status], self._clock.date, lines, closing, framing)

    def part(self, data: bytes, *, last: bool = False, framed: bool = False, more: bool = False) -> None:
        """A part of the body; `framed`: chunked as it is; `more`: it goes out with the next one, at once."""
        if self._silent:
            data = b""
        elif self._chunks and not framed:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if last:
                data += b"0\r\n\r\n"
        if self._held:
            data, self._held = self._held + data, b""
        if more:
            self._held = data
        elif data:
            self._write(data)

    def abandon(self) -> None:
        """Nothing of the response follows, and nothing after it."""
        self._held = b""
        self.keep_alive = False
