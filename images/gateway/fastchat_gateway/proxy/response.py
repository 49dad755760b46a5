"""A worker's response on its way to the client: kept until it is sure that the client gets this one, then passed on."""

from typing import TYPE_CHECKING, Final, Protocol

from fastchat_gateway.errors import RefusedError
from fastchat_gateway.http.response_head import ResponseHead
from fastchat_gateway.proxy.documents import Tokens
from fastchat_gateway.proxy.resumption import Resumption, end_of_units
from fastchat_gateway.proxy.usage import FIELD, Search, StreamUsage, says_usage
from fastchat_gateway.routing.catalog import Endpoint

if TYPE_CHECKING:
    from fastchat_gateway.proxy.attempts import Attempts
    from fastchat_gateway.workers.upstream import Upstream

BUFFERED_BYTES: Final = 2**20
"""A response that is not a stream is kept whole up to this size, so that a worker may die in the middle of it."""
DECLINED: Final = (502, 503)
"""By these a worker says: not me, not now."""
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n")
_OK: Final = 200
_LONGEST_EVENT: Final = 2**16
_LONGEST_UNIT: Final = 2**20


class Sink(Protocol):
    """Who gets the response: a whole one, or its beginning, its parts and its end; or a refusal, at any time."""

    request_id: bytes

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """A whole response; `lines` are those of its head."""

    def begin(self, status: int, lines: bytes, *, streams: bool) -> None:
        """A response whose parts follow."""

    def write(self, data: bytes, *, chunks: int = 0, more: bool = False) -> None:
        """A part: of a stream, whole events; `chunks`: so many, whole and as they came; 0: it is not chunked.

        `more`: another part, or the end, follows at once.
        """

    def end(self, data: bytes) -> None:
        """The last part, which may be empty."""

    def used(self, tokens: Tokens) -> None:
        """The worker has told its usage."""

    def refuse(self, refusal: RefusedError) -> None:
        """There is no response, or no more of it."""

    def comment(self) -> None:
        """The request is held, and its response would be a stream."""


class _Phase:
    """How far a response is; this one: nothing of it has come."""


class _Buffering(_Phase):
    """It has a head, and nothing of it has gone to the client: another worker may still have the request."""

    def __init__(self, head: ResponseHead) -> None:
        self.head = head
        self.size = 0
        self._parts: list[bytes] = []

    def keep(self, data: bytes) -> None:
        self._parts.append(data)
        self.size += len(data)

    def body(self) -> bytes:
        return b"".join(self._parts)

    @property
    def is_for_client(self) -> bool:
        """What has come may go to the client: it is a stream, or too much to keep."""
        return self.head.status not in DECLINED and (self.head.streams or self.size > BUFFERED_BYTES)


class _Streaming(_Phase):
    """The client has got its head."""

    usage: Tokens | None = None
    """What the worker has told so far."""

    @property
    def is_handed_over(self) -> bool:
        """The worker does not go on with it, and says so."""
        return False

    def note(self, units: bytes) -> None:
        """Whole chunks have gone to the client as they came."""

    def part(self, data: bytes) -> bytes:
        """What the client gets now that this has come."""
        raise NotImplementedError

    def last(self, data: bytes) -> bytes:
        """What the client gets in the end, when this was the last to come."""
        raise NotImplementedError


class _StreamingBytes(_Streaming):
    """It is too large to keep."""

    def __init__(self) -> None:
        self._search = Search()

    def part(self, data: bytes) -> bytes:
        self._search.feed(data)
        self.usage = self._search.found
        return data

    def last(self, data: bytes) -> bytes:
        return self.part(data) if data else data


class _StreamingEvents(_Streaming):
    """It is a stream. The client gets whole events, so that a worker's death leaves no half one before the error's."""

    def __init__(self, *, hides_usage: bool) -> None:
        self._rest = b""
        """The beginning of an event whose end is to come."""
        self._events = StreamUsage(hidden=hides_usage)

    @property
    def is_between(self) -> bool:
        """What comes next begins an event."""
        return not self._rest

    def part(self, data: bytes) -> bytes:
        if self._rest or not data.endswith(_EVENT_ENDS):
            data, self._rest = _split(self._rest + data)
        return self._read(data) if data else data

    def last(self, data: bytes) -> bytes:
        data, self._rest = self._rest + data, b""
        return self._read(data) if data else data

    def _read(self, data: bytes) -> bytes:
        """Note what events say of usage; returns what the client gets of them."""
        if FIELD in data or self._events.is_cut or not data.endswith(_EVENT_ENDS):
            data = self._events.read(data)
            self.usage = self._events.found
        return data


class _StreamingUnits(_StreamingEvents):
    """It is a stream that can be resumed. The client gets whole units, so that it is known what it has."""

    def __init__(self, resumption: Resumption, *, hides_usage: bool) -> None:
        super().__init__(hides_usage=hides_usage)
        self._resumption = resumption

    @property
    def is_handed_over(self) -> bool:
        return self._resumption.is_handed_over

    @property
    def has_ended(self) -> bool:
        """The client has all of it."""
        return self._resumption.has_ended and not self._resumption.ends_with_unit

    def note(self, units: bytes) -> None:
        self._resumption.keep(units)

    def part(self, data: bytes) -> bytes:
        data = self._rest + data
        end = end_of_units(data)
        if len(data) - end > _LONGEST_UNIT:
            end = len(data)
        self._rest = data[end:]
        return self._noted(data[:end])

    def last(self, data: bytes) -> bytes:
        data, self._rest = self._rest + data, b""
        return self._noted(data)

    def _noted(self, units: bytes) -> bytes:
        if units:
            self._resumption.keep(units)
            return self._read(units)
        return units


class _Done(_Phase):
    """Nothing more of it goes to the client."""


_AWAITED: Final = _Phase()
_DONE: Final = _Done()


class Response:
    """The response to one attempt, as its connection reads it: parts go to the client, a whole one to `Attempts`."""

    def __init__(
        self,
        attempts: "Attempts",
        endpoint: Endpoint,
        upstream: "Upstream",
        sink: Sink,
        resumption: Resumption | None = None,
        *,
        asks_usage: bool,
    ) -> None:
        """`asks_usage`: the worker is to tell usage, and the client is not to get it."""
        self._attempts = attempts
        self._upstream = upstream
        self._sink = sink
        self._resumption = resumption
        self._phase: _Phase = _AWAITED
        self.endpoint = endpoint
        self.asks_usage = asks_usage
        self.may_be_stale = upstream.may_be_stale
        """The connection had been idle for long before."""

    def stop(self) -> None:
        """Nobody wants it any more."""
        self._phase = _DONE
        self._upstream.abort()

    def pause(self) -> None:
        """The client does not keep up."""
        self._upstream.pause()

    def resume(self) -> None:
        self._upstream.resume()

    # What the connection reads.

    def on_response(self, head: ResponseHead, body: bytes) -> None:
        if head.streams:
            self.on_head(head)
            self.on_complete(body)
        else:
            self._attempts.on_first_byte()
            self._give(head, body)

    def on_head(self, head: ResponseHead) -> None:
        resumption = self._resumption
        if resumption is not None and resumption.has_begun and head.status == _OK and not head.resumable:
            self.stop()
            self._attempts.on_bad_response(self.endpoint, "it begins anew")
            return
        self._phase = _Buffering(head)
        self._attempts.on_first_byte()

    def on_body(self, data: bytes) -> None:
        phase = self._phase
        if isinstance(phase, _Streaming):
            self._write(phase, data)
        elif isinstance(phase, _Buffering):
            phase.keep(data)
            if phase.is_for_client:
                self._begin(phase)
            elif phase.size > BUFFERED_BYTES:
                self._upstream.fail("it declined at great length")

    def passes(self, data: bytes) -> int:
        """Up to where an event tells usage that is to be noted, or that the client is not to get."""
        phase = self._phase
        if isinstance(phase, _StreamingEvents) and not phase.is_between:
            return 0
        at = data.find(FIELD)
        return len(data) if at < 0 or not (self.asks_usage or says_usage(data, at)) else at

    def on_chunks(self, data: bytes, number: int, *, more: bool) -> None:
        phase = self._phase
        if isinstance(phase, _Buffering):
            self._begin(phase)
            phase = self._phase
        if isinstance(phase, _Streaming):
            phase.note(data)
            self._sink.write(data, chunks=number, more=more)

    def on_complete(self, data: bytes) -> None:
        phase = self._phase
        if isinstance(phase, _Buffering):
            if not phase.is_for_client:
                phase.keep(data)
                self._give(phase.head, phase.body())
                return
            self._begin(phase)
            phase = self._phase
        if isinstance(phase, _Streaming):
            self._phase = _DONE
            data = phase.last(data)
            self._note_usage(phase)
            if phase.is_handed_over:
                self._hand_over(data)
                return
            self._attempts.on_end(self.endpoint)
            self._sink.end(data)

    def on_lost(self, reason: str) -> None:
        phase, self._phase = self._phase, _DONE
        if isinstance(phase, _StreamingUnits) and phase.has_ended:
            self._attempts.on_end(self.endpoint)
            self._sink.end(b"")
        elif isinstance(phase, _Streaming):
            self._attempts.on_broken(self.endpoint, reason)
        elif phase is _AWAITED and self.may_be_stale:
            self._attempts.on_stale(self)
        else:
            self._attempts.on_failure(self.endpoint, reason, lost=True)

    def on_bad_response(self, reason: str) -> None:
        phase, self._phase = self._phase, _DONE
        if isinstance(phase, _Streaming):
            self._attempts.on_broken(self.endpoint, f"it went on with {reason}")
        else:
            self._attempts.on_bad_response(self.endpoint, reason)

    def on_silent(self, reason: str, *, suspect: bool) -> None:
        phase, self._phase = self._phase, _DONE
        if isinstance(phase, _Streaming):
            self._attempts.on_broken(self.endpoint, reason, silent=True)
        else:
            self._attempts.on_silent(self.endpoint, reason, suspect=suspect)

    # From phase to phase.

    def _give(self, head: ResponseHead, body: bytes) -> None:
        """It is whole, and nothing of it has gone to the client."""
        self._phase = _DONE
        self._attempts.on_whole(self, head, body)

    def _begin(self, buffered: _Buffering) -> None:
        """From here on no other worker can have the request."""
        head = buffered.head
        self._attempts.on_begin(self, head.status)
        begun = self._phase = self._phase_of(head)
        self._sink.begin(head.status, head.to_client, streams=head.streams)
        data = buffered.body()
        if data and self._phase is begun:  # the client may have gone
            self._write(begun, data)

    def _phase_of(self, head: ResponseHead) -> _Streaming:
        if not head.streams:
            return _StreamingBytes()
        if head.resumable and self._resumption is not None:
            return _StreamingUnits(self._resumption, hides_usage=self.asks_usage)
        return _StreamingEvents(hides_usage=self.asks_usage)

    def _hand_over(self, data: bytes) -> None:
        if data:
            self._sink.write(data)
        self._attempts.on_handed_over(self.endpoint)

    def _write(self, phase: _Streaming, data: bytes) -> None:
        data = phase.part(data)
        self._note_usage(phase)
        if data:
            self._sink.write(data)

    def _note_usage(self, phase: _Streaming) -> None:
        if phase.usage is not None:
            self._sink.used(phase.usage)


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Whole events, and the beginning of the next, unless that is too long to be kept."""
    end = max(data.rfind(mark) + len(mark) if mark in data else 0 for mark in _EVENT_ENDS)
    return (data[:end], data[end:]) if len(data) - end <= _LONGEST_EVENT else (data, b"")
