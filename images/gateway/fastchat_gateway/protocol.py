"""uvicorn's HTTP/1.1 protocol without its trouble with HTTP/2."""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_OFFER = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)", re.IGNORECASE)


class Protocol(HttpToolsProtocol):
    """Ignores a client's offer to go on in HTTP/2 (`Upgrade: h2c`, Java's HttpClient makes it with every request).

    A server may (RFC 9110, 7.8); httptools would take the request's body for the new protocol's first bytes.
    """

    def data_received(self, data: bytes) -> None:
        super().data_received(_OFFER.sub(b"", data) if b"h2c" in data else data)
