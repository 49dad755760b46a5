"""Connections to workers: HTTP/1.1 as asyncio protocols, kept open between requests."""

import asyncio
import logging
import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import httptools

from fastchat_gateway.clock import Clock
from fastchat_gateway.descriptors import lacking
from fastchat_gateway.errors import overloaded
from fastchat_gateway.head import AnswerHead, Headers, LastHead

logger = logging.getLogger(__name__)

# Below the 5 seconds after which uvicorn, and so most workers, close an idle connection.
IDLE_SECONDS = 4.0
STALE_SECONDS = 1.0


class WorkerFailed(Exception):  # noqa: N818  # the worker's failure, not ours
    """No connection to the worker came about."""


class Reader(Protocol):
    """Who sent a request and gets what the worker answers, in this order; after `on_lost` nothing follows."""

    def on_answer(self, head: AnswerHead, body: bytes) -> None:
        """All of it at once, instead of what follows."""

    def on_head(self, head: AnswerHead) -> None:
        """The answer begins."""

    def on_body(self, data: bytes) -> None:
        """Bytes of its body, free of any framing."""

    def on_chunks(self, data: bytes) -> None:
        """Bytes of a stream's body, chunked as they came: what there is instead of `on_body` where it was asked for."""

    def on_complete(self) -> None:
        """It was the whole answer."""

    def on_lost(self, reason: str) -> None:
        """The connection ended before the answer did."""


@dataclass(frozen=True)
class Address:
    """Where a worker listens."""

    host: str
    port: int
    tls: bool
    line: bytes
    """The header line that names it."""


@lru_cache(maxsize=4096)
def address_of(url: str) -> Address:
    """Of a worker's base URL."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    return Address(
        parts.hostname or "", parts.port or (443 if tls else 80), tls, b"host: %b\r\n" % parts.netloc.encode()
    )


class Upstream:
    """One connection; one request at a time. An asyncio.Protocol by its methods: compiled, it cannot inherit."""

    def __init__(self, pool: "Pool", url: str) -> None:
        self._pool = pool
        self.url = url
        self._whole = self._parser = httptools.HttpResponseParser(self)
        self._framing: Any = None
        self._chunks = self._interim = False
        self._raw = b""
        self._last_head: LastHead[AnswerHead] = LastHead()
        self._reader: Reader | None = None
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._said_nothing = True
        self._head: AnswerHead | None = None
        self._head_told = self._complete = self._until_close = False
        self.host_line = address_of(url).line
        self.heard = 0.0
        """When the worker last said something, or was asked."""

    def send(self, reader: Reader, *data: bytes, chunks: bool = False) -> None:
        """Send a whole request; the answer goes to `reader`, with `chunks` a stream's body chunked as it comes."""
        self._reader = reader
        self._chunks = chunks
        if chunks and self._framing is None:
            self._framing = self._without_body()
        self._parser = self._framing if chunks else self._whole
        self._said_nothing = True
        self.heard = self._pool.clock.now
        for part in data:
            self._transport.write(part)

    @property
    def is_active(self) -> bool:
        """A request is under way."""
        return self._reader is not None

    @property
    def may_be_stale(self) -> bool:
        """It has been idle for so long that the worker may be closing it."""
        return self._pool.clock.now - self.heard > STALE_SECONDS

    def pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """Forget the answer: the worker sees its connection closed and stops."""
        self._reader = None
        self._pool.forget(self)
        self._transport.abort()

    def fail(self, reason: str) -> None:
        """End it, and tell who waits for the answer."""
        reader = self._reader
        self.abort()
        if reader is not None:
            reader.on_lost(reason)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_closing = transport.is_closing
        self._pool.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.heard = self._pool.clock.now
        if self._reader is None:
            self.abort()  # nobody asked
            return
        try:
            if self._said_nothing:
                self._begin(data)
            elif self._chunks:
                self._splice(data)
            else:
                self._parser.feed_data(data)
                self._tell()
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fail(f"its answer is not HTTP/1.1: {error}")
        except Exception:
            logger.exception("an answer of worker %s could not be passed on", self.url)
            self.fail("the gateway failed")

    def eof_received(self) -> None:
        """asyncio closes the connection then."""

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.forget(self)
        reader, self._reader = self._reader, None
        if reader is None:
            return
        if self._head_told and self._until_close and error is None:
            reader.on_complete()
        else:
            reader.on_lost(str(error or "the connection was closed"))

    def _begin(self, data: bytes) -> None:
        """The first that is heard of an answer: mostly all of it, under a head that is known."""
        body = self._last_head.body(data)
        if body is not None and self._reader is not None:
            known, reader, self._reader = self._last_head.said, self._reader, None
            self._pool.give_back(self, usable=known.keep_alive)
            reader.on_answer(known, body)
            return
        self._forget_answer()
        if self._chunks:
            self._splice(data)
            return
        self._parser.feed_data(data)
        head = self._head
        if head is not None and head.status not in (204, 304) and not (self._interim or self._until_close):
            self._last_head.keep(data, len(self._headers), head)
        self._tell()

    def _forget_answer(self) -> None:
        self._said_nothing = self._interim = self._head_told = self._complete = self._until_close = False
        self._head = None
        self._raw = b""
        self._headers = []

    def _splice(self, data: bytes) -> None:
        """Pass a stream's chunks on as they come; the parser only tells where the last one ends."""
        self._parser.feed_data(data)
        if not self._head_told:
            self._raw += data
            if self._head is None:
                return
            if not self._head.streams or (b"transfer-encoding", b"chunked") not in self._headers or self._interim:
                self._parse_instead()
                return
            data = self._raw[self._raw.index(b"\r\n\r\n") + 4 :]
            self._tell_head(self._head)
        if data and self._reader is not None:
            self._reader.on_chunks(data)
        if self._complete:
            self._tell()

    def _parse_instead(self) -> None:
        """It is not such a stream: begin anew with what there is of it."""
        self._chunks = self._complete = False
        self._head = None
        self._headers = []
        self._framing = None
        self._parser = self._whole
        self._parser.feed_data(self._raw)
        self._tell()

    def _without_body(self) -> Any:
        """A parser that looks at chunks and calls nobody: most of what a stream costs is to be called for each."""
        callbacks = SimpleNamespace(
            on_message_begin=self.on_message_begin,
            on_header=self.on_header,
            on_headers_complete=self.on_headers_complete,
            on_message_complete=self.on_message_complete,
        )
        return httptools.HttpResponseParser(callbacks)

    def _tell_head(self, head: AnswerHead) -> None:
        self._head_told = True
        if self._reader is not None:
            self._reader.on_head(head)

    def _tell(self) -> None:
        if self._head is not None and not self._head_told:
            self._tell_head(self._head)
        if self._body and self._reader is not None:
            body, self._body = self._body, []
            self._reader.on_body(body[0] if len(body) == 1 else b"".join(body))
        if self._complete and self._reader is not None:
            reader, self._reader = self._reader, None
            self._pool.give_back(self, usable=self._reusable and not self._until_close)
            reader.on_complete()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._complete:
            raise WorkerFailed("it said more than it was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        self._head = AnswerHead(status, self._headers, keep_alive=self._parser.should_keep_alive())
        framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)
        self._until_close = not framed and status not in (204, 304)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._head is not None:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()
        else:
            self._headers = []
            self._interim = True


class Pool:
    """All connections to workers."""

    def __init__(self, clock: Clock, connect_timeout: float) -> None:
        self.clock = clock
        self.connections: set[Upstream] = set()
        self._connect_timeout = connect_timeout
        self._idle: dict[str, list[Upstream]] = defaultdict(list)

    def take(self, url: str) -> Upstream | None:
        """An open connection that is free: the one used last, because it is the least likely to have been closed."""
        idle = self._idle.get(url)
        while idle:
            upstream = idle.pop()
            if not upstream.is_closing():
                return upstream
        return None

    async def connect(self, url: str) -> Upstream:
        """A new connection; raises WorkerFailed, or Refused where the gateway itself can have no more connections."""
        address, upstream = address_of(url), Upstream(self, url)
        loop = asyncio.get_running_loop()
        tls = _tls() if address.tls else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                transport, _ = await loop.create_connection(
                    lambda: cast(asyncio.Protocol, upstream), address.host, address.port, ssl=tls
                )
        except TimeoutError:
            raise WorkerFailed(f"no connection within {self._connect_timeout:g} s") from None
        except OSError as error:
            if lacking(error):
                raise overloaded() from error
            raise WorkerFailed(str(error) or type(error).__name__) from error
        _notice_death(transport.get_extra_info("socket"))
        return upstream

    def give_back(self, upstream: Upstream, *, usable: bool) -> None:
        """Its request is answered."""
        if usable:
            self._idle[upstream.url].append(upstream)
        else:
            upstream.abort()

    def forget(self, upstream: Upstream) -> None:
        self.connections.discard(upstream)
        idle = self._idle.get(upstream.url)
        if idle and upstream in idle:
            idle.remove(upstream)

    def sweep(self, silent_seconds: float) -> None:
        """Close what has been idle for long, and what has been silent for so long in the middle of a request."""
        now = self.clock.now
        for url, idle in list(self._idle.items()):
            for upstream in [each for each in idle if now - each.heard > IDLE_SECONDS]:
                upstream.abort()
            if not self._idle[url]:
                del self._idle[url]
        for url in self.silent(silent_seconds):
            self.fail(url, silent_seconds, f"not a byte for {silent_seconds:g} s")

    def silent(self, seconds: float) -> set[str]:
        """Workers that have said nothing for so long in the middle of a request."""
        return {each.url for each in self._silent(seconds)}

    def fail(self, url: str, seconds: float, reason: str) -> None:
        """Give up the requests for which a worker has been silent for so long."""
        for upstream in self._silent(seconds):
            if upstream.url == url:
                upstream.fail(reason)

    def _silent(self, seconds: float) -> list[Upstream]:
        now = self.clock.now
        return [each for each in self.connections if each.is_active and now - each.heard > seconds]

    def close(self) -> None:
        for upstream in list(self.connections):
            upstream.abort()


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _notice_death(sock: socket.socket) -> None:
    """Notice within half a minute that the other machine is gone, also while waiting for its answer."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
