"""One connection to a worker: HTTP/1.1 as an asyncio protocol, kept open between requests."""

import asyncio
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from fastchat_gateway.http.response_head import BadResponseError
from fastchat_gateway.http.response_parser import End, Reader, ResponseParser

if TYPE_CHECKING:
    from fastchat_gateway.workers.pool import Pool

logger = logging.getLogger(__name__)

STALE_SECONDS = 1.0
HEAD_SECONDS = 10.0
"""A head that has begun has this long to end."""
_TAKEN_SECONDS = 0.5
_TAKEN_BYTES_PER_SECOND = 1e7
"""A worker that still speaks after a request has been under way for so long has read it and lives."""


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
        self._parser = ResponseParser()
        self.host_line = address_of(url).line
        self.heard = 0.0
        """When the worker last sent something, got a request, or was connected to."""
        self.said = 0.0
        """When it last sent something, here or by a response to a probe."""
        self.sent = 0.0
        self._taken = 0.0

    def send(self, reader: Reader, data: bytes, rest: bytes = b"", *, chunks: bool = False) -> None:
        """Send a whole request, in one piece or two; the response goes to `reader`, with `chunks` in chunks."""
        self._parser.expect(reader, chunks=chunks)
        self.heard = self.sent = self._pool.clock.now
        self._taken = self.sent + _TAKEN_SECONDS + (len(data) + len(rest)) / _TAKEN_BYTES_PER_SECOND
        self._transport.write(data)
        if rest:
            self._transport.write(rest)

    @property
    def is_active(self) -> bool:
        """A request is under way."""
        return self._parser.is_reading

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

    # How it ends.

    def abort(self) -> None:
        """Forget the response: the worker sees its connection closed and stops."""
        self._parser.stop()
        self._pool.forget(self)
        self._transport.abort()

    def fail(self, reason: str) -> None:
        """End it; a request that was under way is lost."""
        reader = self._parser.stop()
        self.abort()
        if reader is not None:
            reader.on_lost(reason)

    def refuse(self, reason: str) -> None:
        """End it: what the worker sends is no response."""
        reader = self._parser.stop()
        self.abort()
        if reader is not None:
            reader.on_bad_response(reason)

    def give_up(self, reason: str, *, suspect: bool) -> None:
        """End it because nothing comes."""
        reader = self._parser.stop()
        self.abort()
        if reader is not None:
            reader.on_silent(reason, suspect=suspect)

    def is_late(self, now: float) -> bool:
        """A head began long ago and has not ended."""
        return self._parser.is_late(now - HEAD_SECONDS)

    def may_have_silenced(self, said: float, probed: float) -> bool:
        """The worker last sent something at `said`, and was probed in vain at `probed`: the request came in between."""
        return self._taken > said and self.sent <= probed

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_closing = transport.is_closing
        self.heard = self._pool.clock.now
        self._pool.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.heard = self.said = self._pool.clock.now
        if not self._parser.is_reading:
            self.abort()  # no request is waiting for it
            return
        try:
            end = self._parser.feed(data, self.heard)
            if end is not None:
                self._finish(end)
        except BadResponseError as bad:
            self.refuse(str(bad))
        except Exception:
            logger.exception("a response of worker %s could not be passed on", self.url)
            self.fail("the gateway failed")

    def _finish(self, end: End) -> None:
        """Whoever had the response may send the next request over this connection as soon as it is told."""
        if end.is_reusable:
            self._pool.give_back(self)
        else:
            self.abort()
        end.tell()

    def eof_received(self) -> None:
        """asyncio closes the connection then."""

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.forget(self)
        end = self._parser.end_of_input() if error is None else None
        if end is not None:
            end.tell()
            return
        reader = self._parser.stop()
        if reader is not None:
            reader.on_lost(str(error or "the connection was closed"))
