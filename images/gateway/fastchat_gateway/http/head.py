"""Heads of requests, read once, and how a head is recognised: mostly the next one of a connection is the same."""

import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

import httptools

from fastchat.keys.record import digest

Headers = list[tuple[bytes, bytes]]

_PASSED_TO_WORKER = (b"accept", b"user-agent")
_TRACE = (b"traceparent", b"tracestate")
_ONCE = frozenset({b"x-request-id", b"transfer-encoding", b"expect", b"upgrade", *_TRACE})
_LENGTH = b"\r\ncontent-length: "
_LENGTH_END = b"ength: "
_MOST_DIGITS = 9
_LONGEST_KEPT = 4096


class RequestHead:
    """What a client's head says. An API key is kept as its SHA-256 only."""

    __slots__ = ("bearer", "http_1_0", "keep_alive", "method", "named", "path", "to_worker", "trace", "url")

    def __init__(self, method: str, url: bytes, headers: Headers, *, http_1_0: bool, keep_alive: bool) -> None:
        """Raises httptools.HttpParserError for a URL that is none."""
        named = {name.lower(): value for name, value in headers}
        self.method = method
        self.url = url
        self.path = _path(url)
        """Without the query, and decoded."""
        self.bearer = _bearer(named.pop(b"authorization", b""))
        """SHA-256 of the key that it carries; None without one."""
        self.named: Mapping[bytes, bytes] = named
        """The other headers, by their names in lower case; of two with one name the last."""
        self.http_1_0 = http_1_0
        self.keep_alive = keep_alive
        self.to_worker = render((name, named[name]) for name in _PASSED_TO_WORKER if name in named)
        """Header lines that go on to the worker."""
        self.trace = render((name, named[name]) for name in _TRACE if name in named)
        """Those of the client's trace, which go on where the gateway keeps none of its own."""

    @property
    def recurs(self) -> bool:
        """The next one may well be the same."""
        return not (self.http_1_0 or _ONCE.intersection(self.named)) and b"content-length" in self.named


T = TypeVar("T")


class LastHead(Generic[T]):
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


def render(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def pairs(lines: bytes) -> Headers:
    """What `render` has rendered."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines.splitlines())]


def _bearer(authorization: bytes) -> bytes | None:
    scheme, _, presented = authorization.strip().partition(b" ")
    presented = presented.strip()
    return digest(presented) if presented and scheme.lower() == b"bearer" else None


def _path(url: bytes) -> str:
    path = httptools.parse_url(url).path or b"/"
    return urllib.parse.unquote(path.decode("ascii"))
