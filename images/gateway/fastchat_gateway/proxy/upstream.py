"""Connections to workers: HTTP/1.1 as asyncio protocols, kept open between requests."""

import asyncio
import logging
import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast
from urllib.parse import urlsplit

from fastchat_gateway.clock import Clock
from fastchat_gateway.descriptors import lacking
from fastchat_gateway.errors import overloaded
from fastchat_gateway.http.chunked import Chunked, whole_events
from fastchat_gateway.http.head_cache import HeadCache
from fastchat_gateway.http.response_head import BadResponseError, ResponseHead, check_beginning, read

logger = logging.getLogger(__name__)

# Below the 5 seconds after which uvicorn, and so most workers, close an idle connection.
IDLE_SECONDS = 4.0
STALE_SECONDS = 1.0
HEAD_SECONDS = 10.0
"""A head that has begun has this long to end."""
_MOST_INTERIM = 16
_TAKEN_SECONDS = 0.5
_TAKEN_BYTES_PER_SECOND = 1e7
"""A worker that still speaks after a request has been under way for so long has read it and lives."""


class ConnectError(Exception):
    """No connection to the worker came about."""


class Reader(Protocol):
    """Who sent a request and gets what the worker answers, in this order; after the last two nothing follows."""

    def on_response(self, head: ResponseHead, body: bytes) -> None:
        """All of it at once, instead of what follows."""

    def on_head(self, head: ResponseHead) -> None:
        """The answer begins."""

    def on_body(self, data: bytes) -> None:
        """Bytes of its body, free of any framing."""

    def passes(self, data: bytes) -> int:
        """So many of these bytes of a chunked body may come as `on_chunks`; asked where that was asked for."""

    def on_chunks(self, data: bytes, number: int, *, more: bool) -> None:
        """So many whole plain chunks of a stream's body as they came, which end with an event.

        `more`: the answer's end has come with them, and follows.
        """

    def on_complete(self, data: bytes = b"") -> None:
        """It was the whole answer, with this last part of its body."""

    def on_lost(self, reason: str) -> None:
        """The connection ended before the answer did."""

    def on_bad_response(self, reason: str) -> None:
        """What came is no answer, or does not go on as one."""

    def on_silent(self, reason: str, *, suspect: bool) -> None:
        """The answer was given up; `suspect`: this request may be why the worker says nothing any more."""


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
        self._last_head: HeadCache[ResponseHead] = HeadCache()
        self._open_head: tuple[bytes, ResponseHead | None] = b"", None
        """The last head of a body of unknown length, and what it says: a stream's mostly comes again byte for byte."""
        self._reader: Reader | None = None
        self._chunks = False
        self._forget_answer()
        self.host_line = address_of(url).line
        self.heard = 0.0
        """When the worker last said something, or was asked."""
        self.said = 0.0
        """When it last said something, here or about itself."""
        self.sent = 0.0
        self._taken = 0.0

    def _forget_answer(self) -> None:
        self._raw = b""
        self._head_began = 0.0
        self._interim = 0
        self._head: ResponseHead | None = None
        self._left = 0
        self._chunked: Chunked | None = None

    def send(self, reader: Reader, *data: bytes, chunks: bool = False) -> None:
        """Send a whole request; the answer goes to `reader`, with `chunks` a stream's body in chunks."""
        self._reader = reader
        self._chunks = chunks
        if self._head is not None:
            self._forget_answer()
        self.heard = self.sent = self._taken = self._pool.clock.now
        self._taken += _TAKEN_SECONDS
        for part in data:
            self._taken += len(part) / _TAKEN_BYTES_PER_SECOND
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

    def refuse(self, reason: str) -> None:
        """End it: what the worker says is no answer."""
        reader = self._reader
        self.abort()
        if reader is not None:
            reader.on_bad_response(reason)

    def is_late(self, now: float) -> bool:
        """A head began long ago and has not ended."""
        return bool(self._raw) and now - self._head_began > HEAD_SECONDS

    def may_have_silenced(self, said: float, asked: float) -> bool:
        """The worker last said something at `said`, and was asked in vain at `asked`: the request came in between."""
        return self._taken > said and self.sent <= asked

    def give_up(self, reason: str, *, suspect: bool) -> None:
        """End it because nothing comes."""
        reader = self._reader
        self.abort()
        if reader is not None:
            reader.on_silent(reason, suspect=suspect)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_closing = transport.is_closing
        self._pool.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.heard = self.said = self._pool.clock.now
        if self._reader is None:
            self.abort()  # nobody asked
            return
        try:
            self._read(data)
        except BadResponseError as bad:
            self.refuse(str(bad))
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
        head = self._head
        if head is not None and head.length is None and not head.chunked and error is None:
            reader.on_complete()
        else:
            reader.on_lost(str(error or "the connection was closed"))

    # The answer.

    def _read(self, data: bytes) -> None:
        head = self._head
        if head is not None:
            self._read_body(head, data)
            return
        if not self._raw:
            body = self._last_head.body(data)  # mostly it is all of an answer, under a head that is known
            if body is not None:
                self._tell_answer(self._last_head.said, body)
                return
        self._read_head(data)

    def _read_head(self, data: bytes) -> None:
        """Interim heads are skipped: they say nothing of the answer."""
        fresh = not self._raw
        whole = data if fresh else self._raw + data
        end = whole.find(b"\r\n\r\n") + 4
        if end < 4:
            check_beginning(whole)
            if fresh:
                self._head_began = self.heard
            self._raw = whole
            return
        self._raw = b""
        head = self._head_of(whole[:end])
        rest = whole[end:]
        if head.is_interim:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise BadResponseError(f"over {_MOST_INTERIM} interim answers")
            if rest:
                self._read_head(rest)
            return
        head.check()
        if head.length == len(rest):
            if fresh and not self._interim:
                self._last_head.keep(whole, whole.count(b"\r\n", 0, end) - 2, head)
            self._tell_answer(head, rest)
            return
        self._begin(head)
        if rest and self._reader is not None:
            self._read_body(head, rest)

    def _head_of(self, lines: bytes) -> ResponseHead:
        known, said = self._open_head
        if said is not None and lines == known:
            return said
        head = read(lines)
        if head.length is None:
            self._open_head = lines, head
        return head

    def _tell_answer(self, head: ResponseHead, body: bytes) -> None:
        """All of it is here."""
        reader, self._reader = self._reader, None
        self._pool.give_back(self, usable=head.keep_alive)
        self._interim = 0
        if reader is not None:
            reader.on_response(head, body)

    def _begin(self, head: ResponseHead) -> None:
        self._head = head
        self._left = head.length or 0
        self._chunked = Chunked() if head.chunked else None
        self._chunks = self._chunks and head.chunked and head.streams
        if self._reader is not None:
            self._reader.on_head(head)

    def _read_body(self, head: ResponseHead, data: bytes) -> None:
        """What comes after its end belongs to nobody, and ends the connection."""
        chunked = self._chunked
        complete = surplus = False
        if chunked is not None:
            part = self._read_chunks(chunked, data)
            complete, surplus = chunked.complete, chunked.surplus
        elif head.length is not None:
            part = data[: self._left]
            self._left -= len(part)
            complete, surplus = self._left == 0, len(part) < len(data)
        else:
            part = data
        reader = self._reader
        if reader is None:  # it may have gone meanwhile
            return
        if complete:
            self._reader = None
            self._pool.give_back(self, usable=head.keep_alive and not surplus)
            reader.on_complete(part)
        elif part:
            reader.on_body(part)

    def _read_chunks(self, chunked: Chunked, data: bytes) -> bytes:
        """What comes next of a chunked body, apart from what the reader has taken as it came."""
        reader = self._reader
        end = number = 0
        if self._chunks and reader is not None and chunked.is_between:
            end, number = whole_events(data, reader.passes(data))
        if not number:
            return chunked.body(data)
        part = chunked.body(data[end:]) if end < len(data) else b""
        if reader is not None:
            reader.on_chunks(data[:end], number, more=chunked.complete)
        return part


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
        """A new connection; raises ConnectError, or RefusedError where the gateway can have no more connections."""
        address, upstream = address_of(url), Upstream(self, url)
        loop = asyncio.get_running_loop()
        tls = _tls() if address.tls else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                transport, _ = await loop.create_connection(
                    lambda: cast(asyncio.Protocol, upstream), address.host, address.port, ssl=tls
                )
        except TimeoutError:
            raise ConnectError(f"no connection within {self._connect_timeout:g} s") from None
        except OSError as error:
            if lacking(error):
                raise overloaded() from error
            raise ConnectError(str(error) or type(error).__name__) from error
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
        for upstream in self._silent(silent_seconds):
            upstream.give_up(f"not a byte for {silent_seconds:g} s", suspect=True)
        for upstream in [each for each in self.connections if each.is_late(now)]:
            upstream.refuse(f"a head that did not end within {HEAD_SECONDS:g} s")

    def silent(self, seconds: float) -> set[str]:
        """Workers that have said nothing for so long in the middle of a request."""
        return {each.url for each in self._silent(seconds)}

    def note_life(self, url: str) -> None:
        """The worker has answered a question."""
        for upstream in self._of(url):
            upstream.said = self.clock.now

    def give_up(self, url: str, asked: float, reason: str) -> None:
        """Give up all that a worker has which has left questions unanswered since `asked`."""
        own = self._of(url)
        said = max((each.said for each in own), default=0.0)
        for upstream in own:
            if upstream.is_active:
                upstream.give_up(reason, suspect=upstream.may_have_silenced(said, asked))

    def lose(self, url: str, reason: str) -> None:
        """Nobody listens there any more: what the worker had is lost, as if its connections had been closed."""
        for upstream in self._of(url):
            upstream.fail(reason)

    def _of(self, url: str) -> list[Upstream]:
        return [each for each in self.connections if each.url == url]

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
