"""Which web pages of other origins may read responses (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

import re
from collections.abc import Mapping, Sequence

from fastchat_gateway.errors import origin_not_allowed

ANY = "*"
_METHODS = "GET, POST"
"""What the gateway's routes are for."""
_EXPOSED = ", ".join(
    [
        *("x-request-id", "request-id", "retry-after", "openai-processing-ms", "x-fastchat-load", "x-fastchat-ignored"),
        *(f"x-ratelimit-{what}-{of}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")),
    ]
)
_MAX_AGE_SECONDS = 600
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{1,2048}")
_VARY = b"vary: origin\r\n"


class Cors:
    """What browsers are told. `*` stands for every origin, all methods that there are, or all headers named."""

    def __init__(
        self,
        origins: Sequence[str],
        methods: Sequence[str] = (ANY,),
        headers: Sequence[str] = (ANY,),
        *,
        credentials: bool = False,
    ) -> None:
        self._any = ANY in origins
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self._methods = (_METHODS if ANY in methods else ", ".join(methods)).encode()
        self._headers = None if ANY in headers else ", ".join(headers).encode()
        # Cookies mean nothing to the gateway; a page that sends them wants its own origin named, though.
        self._open = self._any and not credentials
        self._rest = b"access-control-expose-headers: %b\r\n" % _EXPOSED.encode()
        if credentials:
            self._rest += b"access-control-allow-credentials: true\r\n"

    def lines(self, named: Mapping[bytes, bytes]) -> bytes:
        """Header lines of the response to a request with these headers, whatever it is."""
        origin = named.get(b"origin")
        vary = b"" if self._open else _VARY
        if origin is None or not self._allows(origin):
            return vary
        return b"access-control-allow-origin: %b\r\n%b%b" % (ANY.encode() if self._open else origin, self._rest, vary)

    @staticmethod
    def is_preflight(method: str, named: Mapping[bytes, bytes]) -> bool:
        """A browser asks whether a page may send a request."""
        return method == "OPTIONS" and b"origin" in named and b"access-control-request-method" in named

    def preflight(self, named: Mapping[bytes, bytes]) -> bytes:
        """Header lines that say what a page may send, beside `lines`; raises RefusedError for another origin's."""
        if not self._allows(named[b"origin"]):
            raise origin_not_allowed(named[b"origin"].decode("latin-1"))
        wanted = named.get(b"access-control-request-headers", b"")
        headers = self._headers if self._headers is not None else wanted if _NAMES.fullmatch(wanted) else b""
        allowed = b"access-control-allow-headers: %b\r\n" % headers if headers else b""
        return b"access-control-allow-methods: %b\r\n%baccess-control-max-age: %d\r\n" % (
            self._methods,
            allowed,
            _MAX_AGE_SECONDS,
        )

    def _allows(self, origin: bytes) -> bool:
        return self._any or origin.lower() in self._origins
