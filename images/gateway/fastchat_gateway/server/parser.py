"""Reads a client's requests: bytes in, whole requests out, one after the other. No socket, no clock, no task.

The framing is RFC 9112's and nothing more lenient, because a proxy before the gateway must not see other requests in
the same bytes. Bytes are read where they are and never edited.
"""

import re
from enum import Enum
from typing import Final, Protocol

from httptools import HttpParserError

from fastchat_gateway.errors import RefusedError, bad_request, head_too_large, method_unknown, overloaded, too_large
from fastchat_gateway.http.head_cache import HeadCache
from fastchat_gateway.http.headers import Headers
from fastchat_gateway.http.request_head import RequestHead

LARGEST_HEAD: Final = 64 * 2**10
"""Bytes of a request line and its headers."""
_FRAMING_PER_BYTE: Final = 16
"""Bytes of framing that a byte of a body may cost, above those of a head: chunks of one byte take six."""
_MOST_DIGITS: Final = 32
"""Of a content-length: some pad it with zeros."""

_REQUEST_LINE: Final = re.compile(rb"([A-Z]+) ([!-~]+) HTTP/1\.([01])\r\n")
_BEGINNING: Final = re.compile(rb"[A-Z]|\r\Z")
_NO_REQUEST_LINE: Final = "The request's first line is not one of HTTP/1.1."
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)\r\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t -~\x80-\xff]*)?\r\n")
_HOST: Final = re.compile(rb"[^\s/?#@\\]*")
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"})
"""RFC 9110's and PATCH; not CONNECT, for what follows it would be no request."""
_ONCE: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"content-encoding", b"authorization", b"x-api-key"}
)
"""Of two, one reader may believe the first and another the last."""
_LISTS: Final = frozenset({b"connection", b"expect"})
"""Read here, and may stand in several lines (RFC 9110, 5.3)."""

NO_HEAD: Final = RequestHead("", b"/", [], http_1_0=False, keep_alive=False)
"""Of what is no request."""


class Room(Protocol):
    """How much may be kept of requests, those of all connections together."""

    max_body_bytes: int

    def take_memory(self, size: int) -> bool:
        """Keep so many bytes more; False where there is no room for them."""

    def give_memory(self, size: int) -> None:
        """So many bytes are kept no longer."""


class Request:
    """A whole request. The body's bytes were taken from the room, and are given back by who takes the request."""

    __slots__ = ("body", "head")

    def __init__(self, head: RequestHead, body: bytes) -> None:
        self.head = head
        self.body = body


class _Next(Enum):
    """What the next byte belongs to."""

    START = "a request line, or an empty line before it (RFC 9112, 2.2)"
    HEADER = "a header line, or the head's end"
    BODY = "a body, or a chunk of it"
    CHUNK_SIZE = "the line before a chunk"
    CHUNK_END = "the line end after a chunk"
    TRAILER = "a trailer line, or the body's end"
    NOTHING = "nothing: what arrives is not read any more"


class RequestParser:
    """One connection's. Reads one request ahead: what is beyond stays as it came until that one is taken."""

    def __init__(self, room: Room) -> None:
        self.refusal: RefusedError | None = None
        """What follows the last whole request is none: it gets this error, and nothing is read after it."""
        self.head = NO_HEAD
        """Of the request whose body is arriving, or was refused."""
        self.head_since: float | None = None
        """When the head began that is arriving."""
        self.wants_continue = False
        """The client waits for `100 Continue` before it sends the body."""
        self._room = room
        self._next = _Next.START
        self._request: Request | None = None
        self._last_head: HeadCache[RequestHead] = HeadCache()
        self._now = 0.0
        self._data = b""
        self._at = 0
        """So far `_data` is read."""
        self._line = bytearray()
        """The beginning of a line whose end is to come."""
        self._framing = 0
        """Bytes of this head, or of this body's framing, so far."""
        self._kept = 0
        """Bytes taken from the room, the body's aside."""
        self._start: tuple[str, bytes, bool] = ("", b"", False)
        """Method, target, and whether it is HTTP/1.0."""
        self._headers: Headers = []
        self._chunked = False
        self._body = bytearray()
        self._left = 0
        """Bytes to come of the body, or of the chunk."""

    @property
    def in_body(self) -> bool:
        """A body is arriving."""
        return self._next not in (_Next.START, _Next.HEADER, _Next.NOTHING)

    @property
    def is_full(self) -> bool:
        """Nothing more should arrive until the request is taken."""
        return len(self._data) - self._at > LARGEST_HEAD

    @property
    def has_more(self) -> bool:
        """There is something to respond to."""
        return self._request is not None or self.refusal is not None or self.wants_continue

    def feed(self, data: bytes, now: float = 0.0) -> None:
        """Take in what arrived, at a time in seconds."""
        self._now = now
        if self._next is _Next.NOTHING:
            return
        if self._request is not None:
            self._data = self._data[self._at :] + data
            self._at = 0
            self._keep_account()
        elif not self._is_between or not self._recognises(data):
            self._data = data
            self._at = 0
            self._read()

    def take(self) -> Request | None:
        """The next whole request, if it is here."""
        request, self._request = self._request, None
        if request is not None and self._data:
            self._read()
        return request

    def refuse(self, refusal: RefusedError) -> None:
        """Give up what is arriving, and all that would follow."""
        self.refusal = refusal
        self._drop()

    def close(self) -> None:
        """Give everything back."""
        self._drop()
        if self._request is not None:
            self._room.give_memory(len(self._request.body))
            self._request = None

    def _drop(self) -> None:
        self._next = _Next.NOTHING
        self.head_since = None
        self.wants_continue = False
        self._room.give_memory(self._kept + len(self._body))
        self._kept = self._at = 0
        self._body, self._line, self._data, self._headers = bytearray(), bytearray(), b"", []

    @property
    def _is_between(self) -> bool:
        """Not a byte has come since the last request."""
        return self._next is _Next.START and not self._framing

    def _recognises(self, data: bytes) -> bool:
        """It is one whole request under the head of the last one."""
        body = self._last_head.body(data)
        if body is None or len(body) > self._room.max_body_bytes or not self._room.take_memory(len(body)):
            return False
        self._request = Request(self._last_head.said, body)
        return True

    def _read(self) -> None:
        """Read on, to the end of a request or of what there is."""
        is_first = self._is_between and not self._at
        try:
            while self._request is None and self._next is not _Next.NOTHING and self._step():
                pass
        except RefusedError as refusal:
            self.refuse(refusal)
            return
        if self._request is not None and self._next is _Next.NOTHING:
            self._at = len(self._data)
        if self._at == len(self._data):
            data, self._data, self._at = self._data, b"", 0
            if is_first and self._is_between and self._request is not None:
                self._remember(data, self._request.head)
        self._keep_account()

    def _remember(self, data: bytes, head: RequestHead) -> None:
        """`data` was this request and nothing else."""
        if head.recurs:
            self._last_head.keep(data, len(self._headers), head)
        self._headers = []

    def _keep_account(self) -> None:
        """Have room for what is kept until more arrives."""
        in_head = self._next is _Next.START or self._next is _Next.HEADER
        kept = len(self._data) - self._at + (self._framing if in_head else len(self._line))
        if kept == self._kept:
            return
        if kept < self._kept:
            self._room.give_memory(self._kept - kept)
        elif not self._room.take_memory(kept - self._kept):
            self.refuse(overloaded())
            return
        self._kept = kept

    # Piece by piece.

    def _step(self) -> bool:
        """Read a piece; False where its end is to come. Raises RefusedError."""
        if self._next is _Next.BODY:
            return self._read_body()
        line = self._read_line()
        if line is None:
            return False
        if self._next is _Next.HEADER:
            self._on_header(line)
        elif self._next is _Next.START:
            self._on_start(line)
        elif self._next is _Next.CHUNK_SIZE:
            self._on_chunk_size(line)
        elif self._next is _Next.CHUNK_END:
            self._on_chunk_end(line)
        else:
            self._on_trailer(line)
        return True

    def _read_line(self) -> bytes | None:
        """Through the next LF; None where it is to come."""
        data, at = self._data, self._at
        if at == len(data):
            return None
        if self._next is _Next.START and self.head_since is None:
            self.head_since = self._now
        end = data.find(b"\n", at) + 1
        self._at = end or len(data)
        self._framing += self._at - at
        if self._framing > LARGEST_HEAD + _FRAMING_PER_BYTE * len(self._body):
            raise head_too_large(LARGEST_HEAD)
        if not end or self._line:
            self._line += data[at : self._at]
        if not end:
            if self._next is _Next.START and not _BEGINNING.match(self._line):
                raise bad_request(_NO_REQUEST_LINE)
            return None
        if not self._line:
            return data[at:end]
        line = bytes(self._line)
        self._line = bytearray()
        return line

    def _on_start(self, line: bytes) -> None:
        if line == b"\r\n":
            self.head_since = None
            return
        start = _REQUEST_LINE.fullmatch(line)
        if start is None:
            raise bad_request(_NO_REQUEST_LINE)
        if start[1] not in _METHODS:
            raise method_unknown(start[1].decode("ascii"))
        self._start = start[1].decode("ascii"), start[2], start[3] == b"0"
        self._headers = []
        self._next = _Next.HEADER

    def _on_header(self, line: bytes) -> None:
        if line == b"\r\n":
            self.head_since = None
            self._framing = 0
            self._on_head()
        else:
            self._headers.append(_header(line))

    def _on_head(self) -> None:
        """The head is here: how long is the body?"""
        method, target, http_1_0 = self._start
        values = _values(self._headers)
        length = _length(values, http_1_0=http_1_0)
        if not _HOST.fullmatch(values.get(b"host", b"" if http_1_0 else b" ")):
            raise bad_request("A request has one valid 'Host' header.")
        keep_alive = not http_1_0 and b"close" not in _list(values.get(b"connection", b""))
        try:
            self.head = RequestHead(method, target, self._headers, http_1_0=http_1_0, keep_alive=keep_alive)
        except HttpParserError:
            raise bad_request("The request's target is neither a path nor an http URL.") from None
        if length is not None and length > self._room.max_body_bytes:
            raise too_large(self._room.max_body_bytes)
        self._chunked = length is None
        self._left = length or 0
        if length == 0:
            self._on_end()
            return
        self._next = _Next.CHUNK_SIZE if self._chunked else _Next.BODY
        self.wants_continue = not http_1_0 and b"100-continue" in _list(values.get(b"expect", b""))

    def _read_body(self) -> bool:
        data, at = self._data, self._at
        stop = min(at + self._left, len(data))
        if stop == at:
            return False
        self._take(stop - at)
        self._at = stop
        self._left -= stop - at
        if not (self._left or self._chunked or self._body):
            self._on_whole(data[at:stop])
            return True
        self._body += data[at:stop]
        if not self._left:
            if self._chunked:
                self._next = _Next.CHUNK_END
            else:
                self._on_end()
        return True

    def _take(self, size: int) -> None:
        self.wants_continue = False
        if not self._room.take_memory(size):
            raise overloaded()

    def _on_chunk_size(self, line: bytes) -> None:
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise bad_request("The body's chunks are not those of HTTP/1.1.")
        self.wants_continue = False
        self._left = int(size[1], 16)
        if len(self._body) + self._left > self._room.max_body_bytes:
            raise too_large(self._room.max_body_bytes)
        self._next = _Next.BODY if self._left else _Next.TRAILER

    def _on_chunk_end(self, line: bytes) -> None:
        if line != b"\r\n":
            raise bad_request("A chunk of the body is longer than it says.")
        self._next = _Next.CHUNK_SIZE

    def _on_trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self._on_end()
        elif (name := _header(line)[0]) in _ONCE:
            raise bad_request(f"The header '{name.decode('ascii')}' comes too late, after the body.")

    def _on_end(self) -> None:
        body, self._body = bytes(self._body), bytearray()
        self._on_whole(body)

    def _on_whole(self, body: bytes) -> None:
        self._request = Request(self.head, body)
        self._next = _Next.START if self.head.keep_alive else _Next.NOTHING
        self.head = NO_HEAD
        self._framing = 0


def _header(line: bytes) -> tuple[bytes, bytes]:
    """Its name, in lower case, and its value."""
    found = _HEADER.fullmatch(line)
    if found is None:
        raise bad_request("A header of the request is not a line of the form 'name: value'.")
    return found[1].lower(), found[2].strip(b" \t")


def _values(headers: Headers) -> dict[bytes, bytes]:
    """Values by name; of two headers with one name the last."""
    values: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in values and name in _ONCE:
            raise bad_request(f"A request has one '{name.decode('ascii')}' header.")
        values[name] = values[name] + b"," + value if name in values and name in _LISTS else value
    return values


def _list(value: bytes) -> list[bytes]:
    """Members of a header that is a list."""
    return [member.strip(b" \t") for member in value.lower().split(b",")]


def _length(values: dict[bytes, bytes], *, http_1_0: bool) -> int | None:
    """Of the body, in bytes; None: it is chunked (RFC 9112, 6)."""
    coding, length = values.get(b"transfer-encoding"), values.get(b"content-length")
    if coding is None:
        if length is None:
            return 0
        if not length.isdigit() or len(length) > _MOST_DIGITS:
            raise bad_request("The 'Content-Length' header is not a number of bytes.")
        return int(length)
    if http_1_0 or coding.lower() != b"chunked":
        raise bad_request("The body may be chunked in HTTP/1.1, and not encoded otherwise.")
    if length is not None:
        raise bad_request("A request has 'Content-Length' or 'Transfer-Encoding', not both.")
    return None
