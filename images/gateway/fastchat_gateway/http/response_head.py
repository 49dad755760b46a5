"""The head of a worker's response, read strictly: what could be understood in two ways is refused (RFC 9112)."""

import re
from collections.abc import Iterable

from fastchat._runtime.resuming import HANDED_OVER_HEADER, RESUMABLE_HEADER
from fastchat_gateway.http.headers import Headers, render

LARGEST_HEAD = 32 * 2**10
_MOST_FIELDS = 128
_FIRST_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: [\t -~\x80-\xff]*)?")
_BEGINNING = b"HTTP/1."
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0\r\n]*)")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_PLAIN_VALUE = re.compile(rb"[ -~]{1,256}")
_PASSED_TO_CLIENT = (
    b"content-type",
    b"retry-after",
    b"openai-processing-ms",
    b"x-fastchat-load",
    b"x-fastchat-ignored",
)
_RESUMABLE = RESUMABLE_HEADER.encode()
_HANDED_OVER = HANDED_OVER_HEADER.encode()
_STREAM = b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"
"""Proxies in front of the gateway pass a stream on as it comes."""


class BadResponseError(Exception):
    """What a worker sent is no response that could be passed on; the text says why."""


class ResponseHead:
    """What a worker's head says."""

    __slots__ = ("chunked", "handed_over", "keep_alive", "length", "resumable", "status", "streams", "to_client")

    def __init__(self, status: int, headers: Headers, *, http_1_0: bool = False) -> None:
        """`headers`: names in lower case. Raises BadResponseError where it does not say plainly where the body ends."""
        self.status = status
        self.length, self.chunked = _framing(headers, http_1_0=http_1_0)
        """Bytes of the body, where it is known, and whether it is chunked; else it ends with the connection."""
        ends = not self.chunked and self.length is None
        closes = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
        self.keep_alive = not (http_1_0 or ends or closes)
        self.streams = any(
            name == b"content-type" and value[:17].lower() == b"text/event-stream" for name, value in headers
        )
        names = {name for name, _ in headers}
        self.resumable = _RESUMABLE in names
        """It consists of units that say what they are made of."""
        self.handed_over = _HANDED_OVER in names
        """The body says what was generated, for another worker to go on from there."""
        passed = render(_for_client(headers))
        self.to_client = passed + _STREAM if self.streams else passed
        """Header lines that reach the client."""

    @property
    def is_interim(self) -> bool:
        """Another head follows: it is not the response yet."""
        return 100 <= self.status < 200 and self.status != 101

    def check(self) -> None:
        """Raise BadResponseError unless it is what a client of an inference API can make something of.

        Redirects are not, nor responses without a body or with a part of one.
        """
        if not (200 <= self.status <= 203 or 400 <= self.status <= 599):
            raise BadResponseError(f"status {self.status}")


def read(head: bytes) -> ResponseHead:
    """What a whole head says, with the empty line at its end; raises BadResponseError."""
    if len(head) > LARGEST_HEAD:
        raise BadResponseError(f"a head over {LARGEST_HEAD} bytes")
    first, *lines = head[:-4].split(b"\r\n")
    start = _FIRST_LINE.fullmatch(first)
    if start is None:
        raise BadResponseError("its first line is not one of HTTP/1.1")
    if len(lines) > _MOST_FIELDS:
        raise BadResponseError(f"over {_MOST_FIELDS} header fields")
    headers: Headers = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise BadResponseError("a header field that is not valid")
        headers.append((field[1].lower(), field[2].rstrip(b" \t")))
    return ResponseHead(int(start[2]), headers, http_1_0=start[1] == b"0")


def check_beginning(data: bytes) -> None:
    """Raise BadResponseError where no head can begin with this, so that nobody waits for its end."""
    if not data.startswith(_BEGINNING[: len(data)]):
        raise BadResponseError("its first line is not one of HTTP/1.1")
    if len(data) > LARGEST_HEAD:
        raise BadResponseError(f"a head over {LARGEST_HEAD} bytes")
    if data.count(b"\n") != data.count(b"\r\n"):
        raise BadResponseError("lines that do not end in CRLF")


def _framing(headers: Headers, *, http_1_0: bool) -> tuple[int | None, bool]:
    """Length of the body, and whether it is chunked: what they say of it, each once. Nobody asked for a coding."""
    length: int | None = None
    chunked = False
    for name, value in headers:
        if name == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise BadResponseError("not one valid content-length")
            length = int(value)
        elif name == b"transfer-encoding":
            if chunked or http_1_0 or value.lower() != b"chunked":
                raise BadResponseError("a transfer-encoding other than chunked")
            chunked = True
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise BadResponseError("it is compressed, which nobody asked for")
    if chunked and length is not None:
        raise BadResponseError("both content-length and transfer-encoding")
    return length, chunked


def _for_client(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    """Fields by an allow-list, each once: no other could mean anything to a client, or to a proxy on the way to it."""
    named = dict(reversed(headers))
    return [(name, named[name]) for name in _PASSED_TO_CLIENT if name in named and _PLAIN_VALUE.fullmatch(named[name])]
