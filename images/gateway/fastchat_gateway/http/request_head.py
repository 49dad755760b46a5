"""What a client's head says, read once."""

import urllib.parse
from collections.abc import Mapping

import httptools

from fastchat.keys.record import digest
from fastchat_gateway.http.headers import Headers, render

_PASSED_TO_WORKER = (b"accept", b"user-agent")
_TRACE = (b"traceparent", b"tracestate")
_ONCE = frozenset({b"x-request-id", b"transfer-encoding", b"expect", b"upgrade", *_TRACE})


class RequestHead:
    """What a client's head says. An API key is kept as its SHA-256 only."""

    __slots__ = ("bearer", "coding", "http_1_0", "keep_alive", "method", "named", "path", "to_worker", "trace", "url")

    def __init__(self, method: str, url: bytes, headers: Headers, *, http_1_0: bool, keep_alive: bool) -> None:
        """Raises httptools.HttpParserError for a URL that is none."""
        named = {name.lower(): value for name, value in headers}
        self.method = method
        self.url = url
        self.path = _path(url)
        """Without the query and slashes at its end, and decoded."""
        api_key = named.pop(b"x-api-key", b"")
        self.bearer = _bearer(named.pop(b"authorization", b"")) or _digest(api_key)
        """SHA-256 of the key that it carries, of two of them of the bearer's; None without one."""
        self.coding = named.pop(b"content-encoding", b"")
        """How its body is compressed; empty: it is plain."""
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


def _bearer(authorization: bytes) -> bytes | None:
    scheme, _, presented = authorization.strip().partition(b" ")
    return _digest(presented) if scheme.lower() == b"bearer" else None


def _digest(key: bytes) -> bytes | None:
    key = key.strip()
    return digest(key) if key else None


def _path(url: bytes) -> str:
    path = httptools.parse_url(url).path or b"/"
    return urllib.parse.unquote(path.decode("ascii")).rstrip("/") or "/"
