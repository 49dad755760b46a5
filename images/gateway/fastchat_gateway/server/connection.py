"""A client's connection: HTTP/1.1 framing, time limits, back-pressure. Pages go on to uvicorn's own way of serving."""

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from fastchat_gateway.errors import Refused, bad_request, head_too_large, overloaded, too_large, too_slow
from fastchat_gateway.exchange import Exchange
from fastchat_gateway.head import LastHead, RequestHead, pairs

if TYPE_CHECKING:
    from fastchat_gateway.gateway import Gateway

LARGEST_HEAD = 64 * 2**10
_FRAMING_PER_BYTE = 16
"""Bytes of framing that a byte of a body may cost: chunks of one byte take six."""
_MOST_AHEAD = 16
_LINGER_SECONDS = 2.0
_IDLE_SECONDS = 75.0
_REQUEST_LINE = re.compile(rb"[A-Z]+ [^ ]+ HTTP/1\.[01]\r\n")
_HOST = re.compile(rb"[^\s/?#@\\]*")
_NO_HEAD = RequestHead("", b"/", [], http_1_0=False, keep_alive=False)
_HTTP2_OFFER = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)", re.IGNORECASE)


class Connection(HttpToolsProtocol):
    """One client. A request is read whole, then answered; the next one waits for that.

    A client's offer to go on in HTTP/2 (`Upgrade: h2c`, Java's HttpClient makes it with every request) is ignored, as
    a server may (RFC 9110, 7.8); the parser would take the request's body for the new protocol's first bytes.
    """

    def __init__(self, gateway: "Gateway", **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.parser = httptools.HttpRequestParser(self)  # uvicorn's would take data after `Connection: close`
        self._gateway = gateway
        self._clock = gateway.clock
        self._last_head: LastHead[RequestHead] = LastHead()
        self._exchange: Exchange | None = None
        self._ahead: deque[_Received] = deque()
        self._received: _Received | None = None
        """What is arriving; None between requests."""
        self._in_head = False
        self._line = b""
        self._line_began = 0.0
        self._fresh = b""
        """What arrived last, where a request began with it."""
        self._delivered = 0
        self._is_large = False
        self._broken: Refused | None = None
        self._close_at: float | None = None
        self._keep = True
        self._chunked = False
        self._head = b""
        """It goes out with the first part of the answer."""
        self._progress = self._clock.now
        self._unsent = 0
        self._is_paused = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._gateway.connections.add(self)
        self._is_new = self._gateway.drain.draining

    def connection_lost(self, exc: Exception | None) -> None:
        self._gateway.connections.discard(self)
        for received in (self._received, *self._ahead):
            if received is not None:
                self._drop_parts(received)
        self._received = None
        self._ahead.clear()
        super().connection_lost(exc)
        if self._exchange is not None:
            self._exchange.client_gone()

    def data_received(self, data: bytes) -> None:
        if self._close_at is not None or self._broken is not None:
            return
        self._progress = self._clock.now
        if self._exchange is None and self._received is None and not self._ahead and not self._line:
            body = self._last_head.body(data)
            if body is not None and self._gateway.takes(body):
                head = self._last_head.said
                self._keep = head.keep_alive
                self._chunked = True
                self._begin(Exchange(self, head, body, self._gateway.finished))
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        try:
            if self._received is None and not self._line_is_whole(data):
                return
            if self._line:
                data, self._line = self._line, b""
            self._delivered = 0
            self._is_large = len(data) + (self._received.framing if self._received else 0) > LARGEST_HEAD
            self._fresh = data if self._received is None else b""
            self.parser.feed_data(_HTTP2_OFFER.sub(b"", data) if b"h2c" in data else data)
            if self._received is not None:
                self._received.add_framing(len(data) - self._delivered)
        except httptools.HttpParserUpgrade:
            self._break_off(bad_request("This gateway speaks HTTP/1.1 only: leave 'Upgrade' out."))
        except httptools.HttpParserError as error:
            refused = error.__context__
            self._break_off(
                refused if isinstance(refused, Refused) else bad_request(f"The request is not valid HTTP/1.1: {error}.")
            )
        except Refused as refused:
            self._break_off(refused)

    def _line_is_whole(self, data: bytes) -> bool:
        """Look at a request's first line, which the parser is too lenient with; False: its end is still to come."""
        if not self._line and _REQUEST_LINE.match(data):
            return True
        if not self._line:
            self._line_began = self._clock.now
        self._line += data
        line = self._line.lstrip(b"\r\n")  # RFC 9112, 2.2
        if len(self._line) > LARGEST_HEAD:
            raise head_too_large(LARGEST_HEAD)
        if b"\n" not in line:
            return False
        if not _REQUEST_LINE.match(line):
            raise bad_request("The request's first line is not one of HTTP/1.1.")
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._is_paused = True
        self._progress = self._clock.now
        self._unsent = self.transport.get_write_buffer_size()
        if self._exchange is not None and self._exchange.relay is not None:
            self._exchange.relay.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_paused = False
        if self._exchange is not None and self._exchange.relay is not None:
            self._exchange.relay.resume()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._received = _Received(self._clock.now)
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        received = self._received
        assert received is not None  # noqa: S101  # on_message_begin comes first
        if self._is_large and sum(len(name) + len(value) + 4 for name, value in self.headers) > LARGEST_HEAD:
            raise head_too_large(LARGEST_HEAD)
        http_1_0 = self.parser.get_http_version() == "1.0"
        head = received.head = RequestHead(
            self.parser.get_method().decode("ascii"),
            self.url,
            self.headers,
            http_1_0=http_1_0,
            keep_alive=self.parser.should_keep_alive() and not http_1_0,
        )
        self._check_head(head.named, http_1_0=http_1_0)
        if int(head.named.get(b"content-length", 0)) > self._gateway.max_body_bytes:
            self._refuse_early(received, too_large(self._gateway.max_body_bytes))
        elif head.recurs and self._gateway.infers(head):
            self._last_head.keep(self._fresh, len(self.headers), head)
        if head.named.get(b"expect", b"").lower() == b"100-continue":
            if received.refused is not None:
                raise received.refused
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _check_head(self, named: Mapping[bytes, bytes], *, http_1_0: bool) -> None:
        """What the parser takes and RFC 9112 does not."""
        coding = named.get(b"transfer-encoding")
        if coding is not None and (http_1_0 or coding.lower() != b"chunked"):
            raise bad_request("The body may be chunked in HTTP/1.1, and not encoded otherwise.")
        host = named.get(b"host", b"" if http_1_0 else b" ")
        twice = len(named) < len(self.headers) and sum(name.lower() == b"host" for name, _ in self.headers) > 1
        if twice or not _HOST.fullmatch(host):
            raise bad_request("A request has one valid 'Host' header.")

    def on_body(self, body: bytes) -> None:
        self._delivered += len(body)
        received = self._received
        assert received is not None  # noqa: S101  # on_message_begin comes first
        received.size += len(body)
        limit = self._gateway.max_body_bytes
        if received.refused is not None:
            if received.size > 4 * limit:
                raise received.refused
        elif received.size > limit:
            self._refuse_early(received, too_large(limit))
        elif not self._gateway.take_memory(len(body)):
            self._refuse_early(received, overloaded())
        else:
            received.held += len(body)
            received.parts.append(body)

    def _refuse_early(self, received: "_Received", refused: Refused) -> None:
        """Answer before all of it is here, if it is its turn; the rest is thrown away."""
        self._drop_parts(received)
        received.refused = refused
        expects = b"expect" in received.head.named
        if self._exchange is None and not self._ahead and not expects:
            received.answered = True
            self._answer(received)

    def on_message_complete(self) -> None:
        received, self._received = self._received, None
        assert received is not None  # noqa: S101  # on_message_begin comes first
        if received.answered:
            return
        if self._exchange is None and not self._ahead:
            self._answer(received)
            return
        self._ahead.append(received)
        if len(self._ahead) >= _MOST_AHEAD:
            self.transport.pause_reading()

    # Requests.

    def _answer(self, received: "_Received") -> None:
        head = received.head
        self._keep = head.keep_alive
        self._chunked = not head.http_1_0
        body = received.parts[0] if len(received.parts) == 1 else b"".join(received.parts)
        exchange = Exchange(self, head, body, self._gateway.finished)
        if received.refused is None:
            self._begin(exchange)
        else:
            self._exchange = exchange
            exchange.refuse(received.refused)

    def _begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if self._gateway.accept(exchange, is_new=self._is_new):
            self._serve_page(exchange)

    def _serve_page(self, exchange: Exchange) -> None:
        """Have the ASGI app answer it."""
        head = exchange.head
        parsed = httptools.parse_url(head.url)
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.0" if head.http_1_0 else "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": list(head.named.items()),
            "state": self.app_state.copy(),
            "method": head.method,
            "path": head.path,
            "raw_path": parsed.path,
            "query_string": parsed.query or b"",
            "exchange": exchange,
        }
        self.cycle = _Page(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=head.keep_alive,
            on_response=exchange.finish,
        )
        if self._gateway.drain.draining:
            self.cycle.keep_alive = False
        self._keep = self.cycle.keep_alive
        self.cycle.body += exchange.body
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._start_asgi_task(self.cycle, _as_get(self.app))

    def finished(self) -> None:
        """The exchange is over: the next request, or none."""
        self._exchange = None
        self._progress = self._clock.now
        self.server_state.total_requests += 1
        if self.transport.is_closing() or self._close_at is not None:
            return
        if not self._keep:
            self._close_gently()
        elif self._ahead:
            self.transport.resume_reading()
            self.loop.call_soon(self._answer_next)
        elif self._broken is not None:
            self._break_off(self._broken)

    def _answer_next(self) -> None:
        if self._exchange is None and self._ahead and not self.transport.is_closing():
            self._answer(self._ahead.popleft())

    # Answers.

    def write_answer(self, status: int, lines: bytes, body: bytes) -> None:
        self._chunked = False
        closing = b"" if self._keep and not self._gateway.drain.draining else self._closing_line()
        about = STATUS_LINE[status], self._clock.date, lines, closing, len(body), body
        self.transport.write(b"%b%b%b%bcontent-length: %d\r\n\r\n%b" % about)

    def write_head(self, status: int, lines: bytes) -> None:
        closing = self._closing_line()
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        self._keep = self._keep and self._chunked
        self._head = b"%b%b%b%b%b\r\n" % (STATUS_LINE[status], self._clock.date, lines, closing, framing)

    def _closing_line(self) -> bytes:
        if self._keep and not self._gateway.drain.draining:
            return b""
        self._keep = False
        return b"connection: close\r\n"

    @property
    def takes_chunks(self) -> bool:
        """The client speaks HTTP/1.1."""
        return self._chunked

    def write_part(self, data: bytes, *, last: bool = False, framed: bool = False) -> None:
        if self._chunked and not framed:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if last:
                data += b"0\r\n\r\n"
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            self.transport.write(data)

    def cut(self) -> None:
        self._head = b""
        self._close_at = self._clock.now
        self.transport.abort()

    def _break_off(self, refused: Refused) -> None:
        """What arrives makes no sense, or never ends: answer, after what is being answered, and close."""
        received, self._received = self._received, None
        if received is not None:
            self._drop_parts(received)
        self._line = b""
        self._in_head = False
        self._broken = refused
        if received is not None and received.answered:
            self._close_gently()
            return
        if self._exchange is not None or self._ahead:
            return
        self._keep = False
        exchange = Exchange(self, _NO_HEAD, b"", self._gateway.finished)
        self._exchange = exchange
        exchange.refuse(refused)

    def _close_gently(self) -> None:
        """Say that nothing follows and let the client close: to close on unread bytes would destroy the answer."""
        if self.transport.can_write_eof():
            self._close_at = self._clock.now + _LINGER_SECONDS
            self.transport.write_eof()
        else:
            self.transport.close()

    def _drop_parts(self, received: "_Received") -> None:
        self._gateway.give_memory(received.held)
        received.parts.clear()
        received.held = 0

    # Time.

    def sweep(self, now: float) -> None:
        """Called about once a second: end what takes too long."""
        if self._close_at is not None:
            if now >= self._close_at and not self._is_paused:
                self.transport.close()
            self._look_at_reader(now)
        elif self._exchange is not None:
            self._look_at_reader(now)
        elif self._received is not None:
            self._look_at_writer(self._received, now)
        elif self._line:
            if now - self._line_began > self._gateway.limits.header_seconds:
                self._break_off(too_slow("head", self._gateway.limits.header_seconds))
        elif now - self._progress > _IDLE_SECONDS:
            self.transport.close()

    def _look_at_writer(self, received: "_Received", now: float) -> None:
        limits = self._gateway.limits
        if self._in_head and now - received.began > limits.header_seconds:
            self._break_off(too_slow("head", limits.header_seconds))
        elif now - self._progress > limits.client_seconds:
            self._break_off(too_slow("body", limits.client_seconds))

    def _look_at_reader(self, now: float) -> None:
        """A client that takes nothing of what is there for it is cut off."""
        if not self._is_paused:
            return
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._progress = now
        self._unsent = unsent
        if now - self._progress > self._gateway.limits.client_seconds:
            self.transport.abort()

    def shutdown(self) -> None:
        """uvicorn stops: close now, or after what is being answered."""
        if self._exchange is None:
            self.transport.close()
        else:
            self._keep = False
            if self.cycle is not None:
                self.cycle.keep_alive = False


class _Received:
    """A request as it arrives."""

    __slots__ = ("answered", "began", "framing", "head", "held", "parts", "refused", "size")

    def __init__(self, began: float) -> None:
        self.began = began
        self.head = _NO_HEAD
        self.parts: list[bytes] = []
        self.size = self.held = self.framing = 0
        self.answered = False
        self.refused: Refused | None = None

    def add_framing(self, size: int) -> None:
        """Bytes that were none of the body; raises Refused where they are too many."""
        self.framing += size
        if self.framing > LARGEST_HEAD + _FRAMING_PER_BYTE * self.size:
            raise head_too_large(LARGEST_HEAD)


class _Page(RequestResponseCycle):
    """uvicorn's way to an ASGI app, reported like every other exchange. HEAD is served as GET without the body."""

    async def send(self, message: Any) -> None:
        exchange: Exchange = self.scope["exchange"]  # type: ignore[typeddict-item]
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            headers = [*message.get("headers", ()), *pairs(exchange.lines)]
            message = {**message, "headers": headers}
        else:
            exchange.sent += len(message.get("body", b""))
        await super().send(message)


def _as_get(app: Any) -> Any:
    """HEAD as GET. uvicorn leaves the body out; its own view of the scope must stay HEAD for that."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "method": "GET"} if scope["method"] == "HEAD" else scope, receive, send)

    return serve
