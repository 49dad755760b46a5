"""One request, from its first byte to its response's last, and what there is to report about it."""

import random
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, Protocol

from fastchat.api.routes import style_of
from fastchat_gateway.access.keyring import NO_KEY
from fastchat_gateway.errors import RefusedError, from_worker, shutting_down
from fastchat_gateway.http.request_head import RequestHead
from fastchat_gateway.proxy import usage
from fastchat_gateway.proxy.documents import Tokens, usage_of

if TYPE_CHECKING:
    from fastchat_gateway.access.limits import Account
    from fastchat_gateway.proxy.attempts import Attempts
    from fastchat_gateway.telemetry.trace import Trace

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_JSON = b"content-type: application/json\r\n"
_WAITING = b": waiting for a worker\n\n"
_EVENT_STREAM = b"content-type: text/event-stream\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
_FIRST_BYTES: Final = 2**16
_IDS: Final = 64
"""Made at a time."""
_MOST_UNCOUNTED: Final = 2**14
"""Bytes of a stream that are kept until its events are counted."""
_CHUNK_FRAMING: Final = 6
"""Bytes of a chunk that are none of its body, as a rule; each has two line ends besides those of its events."""

Stopped = Literal["client_gone", "shutdown", None]


class _Ids:
    """Numbers of 128 random bits in hex, made many at a time: one by itself would take ten times as long."""

    def __init__(self) -> None:
        self._digits = b""
        self._at = 0

    def next(self) -> bytes:
        start = self._at
        if start == len(self._digits):
            self._digits, start = random.randbytes(16 * _IDS).hex().encode(), 0  # noqa: S311  # nobody has to guess it
        self._at = start + 32
        return self._digits[start : self._at]


_ids: Final = _Ids()


class Downstream(Protocol):
    """The client's connection, to which a response is written."""

    @property
    def takes_chunks(self) -> bool:
        """A body of unknown length is chunked."""

    def write_response(self, status: int, lines: bytes, body: bytes) -> None:
        """A whole response; `lines` are those of its head."""

    def write_head(self, status: int, lines: bytes) -> None:
        """The head of a body of unknown length; it may go out with the body's first part."""

    def write_part(self, data: bytes, *, last: bool = False, framed: bool = False, more: bool = False) -> None:
        """A part of a body of unknown length; `framed`: chunked as it is; `more`: another one follows at once."""

    def cut(self) -> None:
        """End the connection in the middle of a response, so that the client sees that it is broken."""

    def finished(self) -> None:
        """The exchange is over; the connection may go on."""


class Exchange:
    """The request and the response as it is being sent: the sink of its attempts."""

    duration = 0.0
    account: "Account | None" = None
    """What it counts against."""
    admitted = False
    """The key may use its model now."""
    sequences = 1
    """It counts for so many of them."""
    engine = ""
    """The model that its path names."""
    generates = True
    """Its response has a completion."""
    is_free = False
    """It costs no tokens."""
    model = ""
    endpoint = ""
    attempts: "Attempts | None" = None
    trace: "Trace | None" = None
    extra = b""
    """Header lines that the response gets besides."""
    cors = b""
    """Those for a web page of another origin."""
    status = 0
    streams = False
    event_lines = 2
    """Line ends of an event of its stream: one more where events have names."""
    broken = False
    stopped: Stopped = None
    sent = 0
    _delivered = 0
    """Bytes of the worker's response that were sent on in parts."""
    _first = b""
    _last = b""
    """What the first write of a stream and the last one had of its events."""
    _counted = 0
    """Events of it that were counted so far."""
    _uncounted_bytes = 0
    _tokens: Tokens | None = None
    first_byte: float | None = None

    def __init__(
        self, downstream: Downstream, head: RequestHead, body: bytes, done: Callable[["Exchange"], None]
    ) -> None:
        self._downstream = downstream
        self._done: Callable[[Exchange], None] | None = done
        self.came = time.time()
        self.started = time.monotonic()
        self.head = head
        self.key = NO_KEY
        """Whose request it is."""
        self.path = head.path
        self.body = body
        self.request_bytes = len(body)
        self._uncounted: list[tuple[bytes, int]] = []
        """Parts of a stream whose events were not counted yet, and their chunks."""
        given = head.named.get(b"x-request-id")
        self.request_id = given if given and _SANE_ID.fullmatch(given) else _ids.next()

    @property
    def takes_chunks(self) -> bool:
        """A stream may be passed on chunked as it comes."""
        return self._downstream.takes_chunks

    @property
    def is_over(self) -> bool:
        """It has been reported; the client may have gone while its request was being read."""
        return self._done is None

    def to_worker(self, *, with_trace: bool) -> bytes:
        """Header lines by which a worker knows the request; without a trace of our own, the client's."""
        head = self.head
        return b"x-request-id: %b\r\n%b%b" % (self.request_id, head.to_worker, head.trace if with_trace else b"")

    def note_style(self) -> None:
        """It is of one of the newer APIs. Called once its key's account has given `extra`."""
        self.event_lines = 3
        if style_of(self.path) == "messages":
            self.extra += b"request-id: %b\r\n" % self.request_id  # where Anthropic's clients look for it

    # What its attempts tell.

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        if self.status:  # a held stream has its head already
            self.refuse(from_worker(status, body))
            return
        self._first_byte(status)
        self.sent = len(body)
        self._downstream.write_response(status, lines + self.lines, body)
        if status == 200:
            self._tokens = usage_of(body) or self._about(usage.of_text(body))
        self.finish()

    def begin(self, status: int, lines: bytes, *, streams: bool) -> None:
        if not self.status:
            self._downstream.write_head(status, lines + self.lines)
        elif not streams:
            if self.attempts is not None:
                self.attempts.cancel()
            self.refuse(from_worker(status, b""))
            return
        self.streams = streams
        self._first_byte(self.status or status)

    def write(self, data: bytes, *, chunks: int = 0, last: bool = False, more: bool = False) -> None:
        size = len(data)
        self.sent += size
        self._delivered += size - chunks * _CHUNK_FRAMING
        if self.streams and size > _CHUNK_FRAMING:
            if not self._first:
                self._first = data[:_FIRST_BYTES]
            self._last = data
            self._uncounted.append((data, chunks))
            self._uncounted_bytes += size
            if self._uncounted_bytes > _MOST_UNCOUNTED:
                self._count_events()
        self._downstream.write_part(data, last=last, framed=chunks > 0, more=more)

    def end(self, data: bytes) -> None:
        self.write(data, last=True)
        self.finish()

    def used(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def comment(self) -> None:
        """Keep a held stream alive. Its status is decided by the first comment."""
        if not self.status:
            self.status, self.streams = 200, True
            self._downstream.write_head(200, _EVENT_STREAM + self.lines)
        self._send_aside(_WAITING)

    def refuse(self, refusal: RefusedError) -> None:
        """End the response with an error: as an event where a stream has begun, by cutting off any other that has."""
        if not self.status:
            body = refusal.document(style_of(self.path), self.request_id.decode())
            self.status = refusal.status
            self.sent += len(body)
            self._downstream.write_response(refusal.status, _JSON + refusal.header_lines + self.lines, body)
        elif self.streams:
            self.broken = True
            self._count_events()
            event = refusal.event(style_of(self.path), self.request_id.decode(), self._counted)
            self._send_aside(event, last=True)
        else:
            self.broken = True
            self._downstream.cut()
        self.finish()

    def _send_aside(self, event: bytes, *, last: bool = False) -> None:
        self.sent += len(event)
        self._downstream.write_part(event, last=last)

    @property
    def tokens(self) -> Tokens:
        """Of prompt and completion, once it is over: what the worker said, else estimated from what it was given and
        has delivered.

        Zero where no worker had the request, or the response was an error.
        """
        if self._tokens is None:
            self._tokens = self._estimate()
        return self._tokens

    def _estimate(self) -> Tokens:
        if not self.endpoint or not (self.status == 200 or self.stopped):
            return 0, 0
        if self.status != 200 or not self._delivered:
            return self._about(0) if self.stopped else (0, 0)
        if self.streams:
            self._count_events()
            return self._about(usage.of_events(self._delivered, self._counted, self._first, self._last))
        return self._about(usage.of_bytes(self._delivered))

    def _count_events(self) -> None:
        """It goes through all bytes, so it is put off: mostly the last of them tell usage, and nobody has to know."""
        for data, chunks in self._uncounted:
            self._counted += (data.count(b"\n") - 2 * chunks - 2 * data.count(b"\n:")) // self.event_lines
        self._uncounted = []
        self._uncounted_bytes = 0

    def _about(self, completion: int) -> Tokens:
        if self.is_free:
            return 0, 0
        return usage.of_bytes(self.request_bytes), completion if self.generates else 0

    # How it ends.

    def client_gone(self) -> None:
        """The connection was lost."""
        if self._done is not None:
            self.stopped = "client_gone"
            self._cancel()
            self.finish()

    def shut_down(self) -> None:
        """The grace period is over."""
        if self._done is not None and self.attempts is not None:
            self.stopped = "shutdown"
            self._cancel()
            self.refuse(shutting_down())

    def finish(self) -> None:
        """Report it, once."""
        done, self._done = self._done, None
        if done is not None:
            self.duration = time.monotonic() - self.started
            if self.attempts is not None:
                self.endpoint = self.attempts.endpoint
                self.attempts.close()
                self.attempts = None
            self.body = b""
            done(self)
            self._downstream.finished()

    def _cancel(self) -> None:
        if self.attempts is not None:
            self.attempts.cancel()

    def _first_byte(self, status: int) -> None:
        self.status = status
        if self.first_byte is None:  # else it goes on at another worker
            self.first_byte = time.monotonic() - self.started

    @property
    def lines(self) -> bytes:
        """Header lines that every response to this request has."""
        return b"x-request-id: %b\r\n%b%b" % (self.request_id, self.extra, self.cors)
