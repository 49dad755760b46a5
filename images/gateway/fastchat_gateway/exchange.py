"""One request, from its first byte to its answer's last, and what there is to report about it."""

import random
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from fastchat_gateway.errors import Refused, from_worker, shutting_down
from fastchat_gateway.keyring import NO_KEY
from fastchat_gateway.upstream import Headers
from fastchat_gateway.usage import usage_of

if TYPE_CHECKING:
    from fastchat_gateway.relay import Relay
    from fastchat_gateway.trace import Trace

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_TAIL_BYTES = 4096

Stopped = Literal["client_gone", "shutdown", None]


class Line(Protocol):
    """What an answer is written to: the client's connection."""

    @property
    def takes_chunks(self) -> bool:
        """A body of unknown length is chunked."""

    def write_head(self, status: int, headers: Headers, *, length: int | None, body: bytes = b"") -> None:
        """The head, and the body with it where its length is known."""

    def write_part(self, data: bytes, *, last: bool = False, framed: bool = False) -> None:
        """A part of a body of unknown length; `framed`: chunked as it is, with the last chunk where it is the last."""

    def cut(self) -> None:
        """End the connection in the middle of an answer, so that the client sees that it is broken."""

    def finished(self, exchange: "Exchange") -> None:
        """The exchange is over; the connection may go on."""


class Exchange:
    """The request and the answer as it is being sent: a relay's sink."""

    __slots__ = (
        "_done",
        "_line",
        "_usage",
        "account",
        "admitted",
        "asked_bytes",
        "body",
        "broken",
        "came",
        "duration",
        "endpoint",
        "events",
        "extra",
        "first_byte",
        "headers",
        "method",
        "model",
        "path",
        "relay",
        "request_id",
        "sent",
        "started",
        "status",
        "stopped",
        "streams",
        "tail",
        "trace",
    )

    def __init__(
        self,
        line: Line,
        method: str,
        path: str,
        headers: Mapping[bytes, bytes],
        body: bytes,
        done: Callable[["Exchange"], None],
    ) -> None:
        self._line = line
        self._done: Callable[[Exchange], None] | None = done
        self.came = time.time()
        self.started = time.perf_counter()
        self.duration = 0.0
        self.account = NO_KEY
        self.admitted = False
        """Counted as one of the key's."""
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.asked_bytes = len(body)
        given = headers.get(b"x-request-id", b"")
        self.request_id = given if _SANE_ID.fullmatch(given) else b"%032x" % random.getrandbits(128)
        self.relay: Relay | None = None
        self.trace: Trace | None = None
        self.extra: Headers = []
        """Headers that the answer gets besides."""
        self.stopped: Stopped = None
        self.status = 0
        self.streams = False
        self.broken = False
        self.sent = 0
        self.events = 0
        self._usage: tuple[int, int] | None = None
        self.tail = b""
        """The end of the answer, where a worker says what it used."""
        self.first_byte: float | None = None
        self.model = ""
        self.endpoint = ""

    @property
    def takes_chunks(self) -> bool:
        """A stream may be passed on chunked as it comes."""
        return self._line.takes_chunks

    # What a relay tells.

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        if self.status:  # a held stream has its head already
            self.refuse(from_worker(status, body))
            return
        self._first_byte(status, headers, streams=False)
        self.sent += len(body)
        self.tail = body[-_TAIL_BYTES:]
        self._line.write_head(status, headers, length=len(body), body=body)
        self.finish()

    def begin(self, status: int, headers: Headers, *, streams: bool) -> None:
        if self.status and not streams:
            if self.relay is not None:
                self.relay.cancel()
            self.refuse(from_worker(status, b""))
            return
        head_is_out = bool(self.status)
        self._first_byte(self.status or status, headers, streams=streams)
        if not head_is_out:
            self._line.write_head(status, headers, length=None)

    def write(self, data: bytes, *, framed: bool = False) -> None:
        self.sent += len(data)
        if self.streams:
            self.events += data.count(b"\n\n")
            if b'"usage"' in data:
                self.tail = data
        self._line.write_part(data, framed=framed)

    def end(self, data: bytes, *, framed: bool = False) -> None:
        self.sent += len(data)
        self._line.write_part(data, last=True, framed=framed)
        self.finish()

    def tear(self, refused: Refused) -> None:  # noqa: ARG002  # it cannot be told any more
        self.broken = True
        self._line.cut()
        self.finish()

    def comment(self) -> None:
        """Keep a held stream alive. Its status is decided by the first comment."""
        if not self.status:
            self.status, self.streams = 200, True
            self._line.write_head(200, self.with_extra(list(_EVENT_STREAM)), length=None)
        self.write(b": waiting for a worker\n\n")

    def refuse(self, refused: Refused) -> None:
        """Answer with an error; as an event where a stream has begun, by cutting off any other answer that has."""
        if not self.status:
            body = refused.body
            self.status = refused.status
            self.sent += len(body)
            headers = self.with_extra([(b"content-type", b"application/json"), *refused.headers])
            self._line.write_head(refused.status, headers, length=len(body), body=body)
        elif self.streams:
            self.broken = True
            event = refused.event
            self.sent += len(event)
            self._line.write_part(event, last=True)
        else:
            self.broken = True
            self._line.cut()
        self.finish()

    def usage(self) -> tuple[int, int]:
        """Tokens of prompt and answer."""
        if self._usage is None:
            self._usage = usage_of(self.tail, self.events, self.asked_bytes)
        return self._usage

    # How it ends.

    def client_gone(self) -> None:
        """The connection was lost."""
        if self._done is not None:
            self.stopped = "client_gone"
            self._cancel()
            self.finish()

    def shut_down(self) -> None:
        """The grace period is over."""
        if self._done is not None and self.relay is not None:
            self.stopped = "shutdown"
            self._cancel()
            self.refuse(shutting_down())

    def finish(self) -> None:
        """Report it, once."""
        done, self._done = self._done, None
        if done is not None:
            self._note_endpoint()
            self.relay = None
            self.body = b""
            done(self)
            self._line.finished(self)

    def _cancel(self) -> None:
        if self.relay is not None:
            self._note_endpoint()
            self.relay.cancel()

    def _first_byte(self, status: int, headers: Headers, *, streams: bool) -> None:
        self.status = status
        self.streams = streams
        self.first_byte = time.perf_counter() - self.started
        self._note_endpoint()
        self.with_extra(headers)

    def _note_endpoint(self) -> None:
        if self.relay is not None:
            self.endpoint = self.relay.endpoint or self.endpoint

    def with_extra(self, headers: Headers) -> Headers:
        """Headers of an answer, with those that every answer of this request has."""
        headers.append((b"x-request-id", self.request_id))
        headers += self.extra
        return headers
