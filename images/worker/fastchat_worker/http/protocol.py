"""How connections are read."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, but `Expect` means nothing in HTTP/1.0, which knows no 100 before the response (RFC 9110, 10.1.1)."""

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False
        super().on_headers_complete()
