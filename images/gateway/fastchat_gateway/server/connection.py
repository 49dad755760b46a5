"""A client's connection: one request served after the other, time limits, back-pressure."""

import asyncio
from typing import TYPE_CHECKING, Final

from fastchat_gateway.errors import RefusedError, overloaded, too_slow
from fastchat_gateway.http.request_head import RequestHead
from fastchat_gateway.proxy.exchange import Exchange
from fastchat_gateway.proxy.gateway import PROBES
from fastchat_gateway.server.parser import RequestParser
from fastchat_gateway.server.writer import CONTINUE, ResponseWriter

if TYPE_CHECKING:
    from fastchat_gateway.proxy.gateway import Gateway
    from fastchat_gateway.server.asgi import Page, Pages

_IDLE_SECONDS: Final = 75.0
_LINGER_SECONDS: Final = 2.0
"""After the last response the connection stays open for so long, and anew with each part that still arrives."""
_LONGEST_LINGER_SECONDS: Final = 30.0
"""In all."""
_SPARE: Final = 64
"""Connections beyond the limit that are told so; still more are closed without a word."""


class Connection:
    """One client: an asyncio.Protocol by its methods, an exchange's `Downstream`. Compiled, it cannot inherit."""

    def __init__(self, gateway: "Gateway", pages: "Pages") -> None:
        self._gateway = gateway
        self._pages = pages
        self._clock = gateway.clock
        self._parser = RequestParser(gateway)
        self._exchange: Exchange | None = None
        """The request being served."""
        self._page: Page | None = None
        """What serves it, if it is not a worker."""
        self._progress = self._clock.now
        """When the client last sent something, took something, or had a response end."""
        self._served = self._clock.now
        self._close_at: float | None = None
        self._close_at_last = 0.0
        self._unsent = 0
        self._is_paused = False
        self._is_new = gateway.drain.draining
        """It came when the gateway had begun to stop."""
        self._is_surplus = False
        """It is one too many."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._writer = ResponseWriter(transport.write, self._clock)
        self._call_soon = asyncio.get_running_loop().call_soon
        others = len(self._gateway.connections)
        self._gateway.connections.add(self)
        self._is_surplus = others >= self._gateway.limits.max_connections
        if others >= self._gateway.limits.max_connections + _SPARE:
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._gateway.connections.discard(self)
        self._parser.close()
        if self._page is not None:
            self._page.client_gone()
        if self._exchange is not None:
            self._exchange.client_gone()

    def eof_received(self) -> None:
        """asyncio closes the connection then."""

    def data_received(self, data: bytes) -> None:
        now = self._clock.now
        if self._close_at is not None:
            self._close_at = min(now + _LINGER_SECONDS, self._close_at_last)
            return
        self._progress = now
        self._parser.feed(data, now)
        if self._exchange is None:
            self._go_on()
        elif self._parser.is_full:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._is_paused = True
        self._progress = self._clock.now
        self._unsent = self._transport.get_write_buffer_size()
        if self._page is not None:
            self._page.pause()
        elif self._exchange is not None and self._exchange.attempts is not None:
            self._exchange.attempts.pause()

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._page is not None:
            self._page.resume()
        elif self._exchange is not None and self._exchange.attempts is not None:
            self._exchange.attempts.resume()

    # Requests.

    def _go_on(self) -> None:
        """Serve what is next, if nothing is being served."""
        if self._exchange is not None or self._close_at is not None or self._transport.is_closing():
            return
        request = self._parser.take()
        if request is not None:
            self._begin(request.head, request.body)
        elif self._parser.refusal is not None:
            self._begin(self._parser.head, b"", self._parser.refusal)
        elif self._parser.wants_continue:
            self._parser.wants_continue = False
            self._transport.write(CONTINUE)

    def _begin(self, head: RequestHead, body: bytes, refusal: RefusedError | None = None) -> None:
        """Serve a request; `refusal`: it was not read whole, so that nothing can follow it."""
        keep_alive = head.keep_alive and not self._is_surplus and refusal is None
        self._writer.begin(method=head.method, http_1_0=head.http_1_0, keep_alive=keep_alive)
        exchange = self._exchange = Exchange(self, head, body, self._gateway.finished)
        if refusal is None and self._is_surplus and head.path not in PROBES:
            refusal = overloaded()
        if refusal is not None:
            self._gateway.allow_origin(exchange)
            exchange.refuse(refusal)
        elif self._gateway.accept(exchange, is_new=self._is_new):
            self._page = self._pages.serve(exchange)

    def finished(self) -> None:
        self._exchange = None
        self._page = None
        self._progress = self._served = self._clock.now
        if self._transport.is_closing() or self._close_at is not None:
            return
        if not self._writer.keep_alive:
            self._close_gently()
        elif self._parser.has_more:
            self._transport.resume_reading()
            self._call_soon(self._go_on)

    # Responses.

    @property
    def takes_chunks(self) -> bool:
        return self._writer.takes_chunks

    def write_response(self, status: int, lines: bytes, body: bytes) -> None:
        self._announce_end()
        self._writer.whole(status, lines, body)

    def write_head(self, status: int, lines: bytes) -> None:
        self._announce_end()
        self._writer.head(status, lines)

    def write_part(self, data: bytes, *, last: bool = False, framed: bool = False, more: bool = False) -> None:
        self._writer.part(data, last=last, framed=framed, more=more)

    def cut(self) -> None:
        self._writer.abandon()
        self._close_at = self._close_at_last = self._clock.now
        self._transport.abort()

    def _announce_end(self) -> None:
        """A gateway that stops takes no further request."""
        if self._gateway.drain.draining:
            self._writer.keep_alive = False

    def _close_gently(self) -> None:
        """Say that nothing follows and let the client close: to close on unread bytes would destroy the response."""
        now = self._clock.now
        self._close_at, self._close_at_last = now + _LINGER_SECONDS, now + _LONGEST_LINGER_SECONDS
        self._parser.close()
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    # Time.

    def sweep(self, now: float) -> None:
        """Called about once a second: end what takes too long."""
        if self._close_at is not None:
            if now >= self._close_at and not self._is_paused:
                self._transport.close()
            self._look_at_reader(now)
        elif self._exchange is not None:
            self._look_at_reader(now)
        elif self._parser.in_body:
            self._look_at_body(now)
        elif self._parser.head_since is not None:
            self._look_at_head(self._parser.head_since, now)
        elif now - self._progress > (self._gateway.limits.header_seconds if self._is_surplus else _IDLE_SECONDS):
            self._transport.close()

    def _look_at_head(self, since: float, now: float) -> None:
        seconds = self._gateway.limits.header_seconds
        if now - max(since, self._served) > seconds:
            self._give_up(too_slow("head", seconds))

    def _look_at_body(self, now: float) -> None:
        seconds = self._gateway.limits.client_seconds
        if now - self._progress > seconds:
            self._give_up(too_slow("body", seconds))

    def _give_up(self, refusal: RefusedError) -> None:
        self._parser.refuse(refusal)
        self._go_on()

    def _look_at_reader(self, now: float) -> None:
        """A client that takes nothing of what is there for it is cut off."""
        if not self._is_paused:
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._progress = now
        self._unsent = unsent
        if now - self._progress > self._gateway.limits.client_seconds:
            self._transport.abort()

    def shutdown(self) -> None:
        """The server stops: close now, or after the request being served."""
        if self._exchange is None:
            self._transport.close()
        else:
            self._writer.keep_alive = False
