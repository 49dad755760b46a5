"""A call's way to a worker and the answer's way back: carries out what dispatch decides, over upstream connections."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol
from urllib.parse import quote

from fastchat.v1alpha1.names import KEY_HEADER
from fastchat_gateway.errors import (
    QUEUE_FULL,
    RefusedError,
    bad_response,
    code_of,
    no_worker,
    queue_full,
    server_error,
    worker_lost,
    worker_silent,
    workers_failed,
)
from fastchat_gateway.http.response_head import ResponseHead
from fastchat_gateway.proxy.call import Call
from fastchat_gateway.proxy.documents import Tokens
from fastchat_gateway.proxy.upstream import ConnectError, Pool, Upstream
from fastchat_gateway.proxy.usage import FIELD, Search, StreamUsage, says_usage
from fastchat_gateway.routing import balancer
from fastchat_gateway.routing.catalog import Catalog, Endpoint, Model
from fastchat_gateway.routing.dispatch import MOST_LOST, Dispatch, Wait
from fastchat_gateway.routing.prefix import prefix_of
from fastchat_gateway.routing.queue import RequestQueue
from fastchat_gateway.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

BUFFERED_BYTES = 2**20
"""An answer that is not a stream is taken whole up to this size, so that a worker may die in the middle of it."""

_DECLINED = (502, 503)
_MAY_BE_FULL = 429
_REFUSED = (400, 422)
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n")
_LONGEST_EVENT = 2**16


class Sink(Protocol):
    """Who gets the answer: a whole one, or its beginning, its parts and its end; or a refusal, at any time."""

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """A whole answer; `lines` are those of its head."""

    def begin(self, status: int, lines: bytes, *, streams: bool) -> None:
        """An answer whose parts follow."""

    def write(self, data: bytes, *, chunks: int = 0, more: bool = False) -> None:
        """A part: of a stream, whole events; `chunks`: so many, whole and as they came; 0: it is not chunked.

        `more`: another part, or the end, follows at once.
        """

    def end(self, data: bytes) -> None:
        """The last part, which may be empty."""

    def used(self, tokens: Tokens) -> None:
        """The worker has said what it used."""

    def refuse(self, refusal: RefusedError) -> None:
        """There is no answer, or no more of it."""

    def comment(self) -> None:
        """The call is held, and the answer would be a stream."""


@dataclass(frozen=True)
class RelayContext:
    """What every relay needs."""

    catalog: Catalog
    pool: Pool
    metrics: Metrics
    comment_seconds: float
    token: bytes | None = None
    """What a worker knows this gateway by."""

    @cached_property
    def token_line(self) -> bytes:
        """The header line that tells it."""
        return b"" if self.token is None else b"authorization: Bearer %b\r\n" % self.token

    def identity(self, key: str) -> bytes:
        """Header lines that tell it, and whose request it is: only workers who know the token can believe that."""
        if self.token is None or not key:
            return self.token_line
        return self.token_line + _key_line(key)


class Relay:
    """One call."""

    _endpoint: Endpoint | None = None
    """The worker that has the call."""
    endpoint = ""
    """URL of the worker that has it, or had it last."""
    _upstream: Upstream | None = None
    _connecting: asyncio.Task[None] | None = None
    _may_be_stale = False
    _waiting: "_Waiting | None" = None
    _declined: tuple[int, bytes, bytes] | None = None
    _bad_responses = 0
    _over = False
    # Of the answer that is being read:
    _head: ResponseHead | None = None
    _begun = False
    _streams = False
    _size = 0
    _may_ask = True
    _adds_usage = False
    """The client did not ask for usage, and the gateway did."""
    _usage: StreamUsage
    _search: Search

    def __init__(self, context: RelayContext, call: Call, sink: Sink, model: Model, *, chunks: bool = False) -> None:
        """`chunks`: the sink takes a stream chunked as it comes."""
        prefix = prefix_of(call.body) if model.record.load_balancing == "PrefixHash" else None
        self._context = context
        self._call = call
        self._sink = sink
        self._dispatch = Dispatch(context.catalog, call.model, prefix)
        self._takes_chunks = chunks
        self._parts: list[bytes] = []

    @property
    def sequences(self) -> int:
        """What the call counts for."""
        return self._call.sequences

    def start(self, now: float) -> None:
        """`now` is a time of the monotonic clock, in seconds."""
        self._advance(now)

    def cancel(self) -> None:
        """Nobody wants the answer any more; the sink hears nothing from here on."""
        self._over = True
        self._stop_waiting()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._endpoint is not None:
            if self._upstream is not None:
                self._upstream.abort()
            self._release(self._endpoint)

    def pause(self) -> None:
        """The client does not keep up."""
        if self._endpoint is not None and self._upstream is not None:
            self._upstream.pause()

    def resume(self) -> None:
        if self._endpoint is not None and self._upstream is not None:
            self._upstream.resume()

    # Where to.

    def _advance(self, now: float) -> None:
        try:
            step = self._dispatch.next(now)
        except RefusedError as refusal:
            self._refuse(refusal)
            return
        if self._bad_responses and (self._bad_responses >= MOST_LOST or not isinstance(step, Endpoint)):
            self._refuse(bad_response(self._dispatch.model.name))
            return
        if isinstance(step, Wait):
            self._hold(step)
            return
        if self._waiting is not None:
            self._stop_waiting()
        if isinstance(step, Endpoint):
            self._send(step)
        elif step.silence:
            self._refuse(worker_silent(step.model.name))
        elif self._declined is not None:
            self._over = True
            self._sink.respond(*self._declined)
        else:
            self._refuse(workers_failed(step.model.name))

    def _refuse(self, refusal: RefusedError) -> None:
        self._over = True
        self._stop_waiting()
        self._sink.refuse(refusal)

    def _hold(self, step: Wait) -> None:
        if self._waiting is not None and self._waiting.model is step.model:
            return
        self._stop_waiting()
        waiting = _Waiting(self, step, self._context.comment_seconds if self._call.stream else None)
        if not step.model.queue.enter(waiting, self._call.key, step.model.record.queue.max_requests):
            self._context.metrics.queue_refused(step.model.name, "full")
            self._refuse(queue_full(step.model.name))
            return
        self._waiting = waiting
        if self._call.trace is not None:
            self._call.trace.mark("held")
        waiting.start()

    def look_again(self) -> bool:
        """There may be a worker; False where there is none for anybody."""
        self._advance(time.monotonic())
        return self._waiting is None or self._dispatch.has_failed

    def evict(self) -> None:
        """Another key's request takes the place in the queue."""
        if self._waiting is not None:
            name = self._waiting.model.name
            self._context.metrics.queue_refused(name, "full")
            self._refuse(queue_full(name))

    def comment(self) -> None:
        self._sink.comment()

    def give_up_waiting(self, model: Model) -> None:
        """The time is over."""
        self._context.metrics.queue_refused(model.name, "timeout")
        self._refuse(no_worker(model.name, model.record.queue.timeout_seconds))

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._context.metrics.held(waiting.model.name, waiting.leave(self._call.key))

    # The call.

    def _send(self, endpoint: Endpoint) -> None:
        self._dispatch.model.take(endpoint, self._call.sequences)
        self._endpoint = endpoint
        self._may_ask = True
        self._open(endpoint)

    def _open(self, endpoint: Endpoint) -> None:
        if self._head is not None:
            self._forget_answer()
        upstream = self._context.pool.take(endpoint.url)
        if upstream is not None:
            self._may_be_stale = upstream.may_be_stale
            self._send_over(upstream)
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(endpoint))

    async def _connect(self, endpoint: Endpoint) -> None:
        self._may_be_stale = False
        try:
            upstream = await self._context.pool.connect(endpoint.url)
        except ConnectError as failure:
            self._connecting = None
            self._failed(str(failure), lost=False)
            return
        except RefusedError as refusal:
            self._connecting = None
            self._release(endpoint)
            self._refuse(refusal)
            return
        except Exception:
            logger.exception("connecting to worker %s failed", endpoint.url)
            self._release(endpoint)
            self._refuse(server_error())
            return
        self._connecting = None
        self._send_over(upstream)

    def _send_over(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.endpoint = upstream.url
        if self._call.trace is not None:
            self._call.trace.mark("sent")
        endpoint = self._endpoint
        knows_usage = endpoint is not None and endpoint.tells_usage is not False
        self._adds_usage = self._call.hides_usage and self._may_ask and knows_usage
        body = self._call.body_for(self._dispatch.model.name, with_usage=self._adds_usage)
        head = self._call.head(upstream.host_line, self._context.identity(self._call.key), len(body))
        parts = (head + body,) if len(body) < BUFFERED_BYTES else (head, body)
        upstream.send(self, *parts, chunks=self._takes_chunks)

    def _release(self, endpoint: Endpoint) -> None:
        """The worker does not have the call any more; there may be room for one that is held."""
        model = self._dispatch.model
        model.release(endpoint, self._call.sequences)
        self._endpoint = None
        if model.queue.length:
            asyncio.get_running_loop().call_soon(model.queue.wake)

    def _on_full(self, endpoint: Endpoint) -> None:
        """The worker's queue is full, which is no fault of its own; another one's may not be."""
        model = self._dispatch.model
        self._release(endpoint)
        balancer.note_success(endpoint)
        self._dispatch.was_full(endpoint)
        self._context.metrics.retry(model.name, ejected=False)
        if self._call.trace is not None:
            self._call.trace.failed(endpoint.url, QUEUE_FULL)
        self._advance(time.monotonic())

    def _failed(self, reason: str, *, lost: bool) -> None:
        endpoint = self._endpoint
        if endpoint is None or self._over:
            return
        now = time.monotonic()
        self._release(endpoint)
        self._go_on(endpoint, reason, now, ejected=self._dispatch.failed(endpoint, now, lost=lost))

    def _go_on(self, endpoint: Endpoint, reason: str, now: float, *, ejected: bool) -> None:
        """Another worker may have the call."""
        model = self._dispatch.model
        self._context.metrics.retry(model.name, ejected=ejected)
        if self._call.trace is not None:
            self._call.trace.failed(endpoint.url, reason)
        logger.warning("worker %s failed: %s%s", endpoint.url, reason, "; left out for a while" if ejected else "")
        self._advance(now)

    # The answer, as the upstream connection tells it.

    def _forget_answer(self) -> None:
        self._head = None
        self._begun = False
        self._parts = []
        self._size = 0

    def on_response(self, head: ResponseHead, body: bytes) -> None:
        if head.status != 200 or head.streams or self._call.trace is not None:
            self.on_head(head)
            self.on_complete(body)
            return
        endpoint = self._endpoint
        if endpoint is not None:
            self._release(endpoint)
            self._over = True
            self._note_success(endpoint, 200)
            self._sink.respond(200, head.to_client, body)

    def on_head(self, head: ResponseHead) -> None:
        self._head = head
        if self._call.trace is not None:
            self._call.trace.mark("first_byte")

    def on_body(self, data: bytes) -> None:
        if self._begun:
            self._pass_on(data)
            return
        self._parts.append(data)
        self._size += len(data)
        head = self._head
        if head is not None and head.status not in _DECLINED and (head.streams or self._size > BUFFERED_BYTES):
            self._begin(head)
        elif self._size > BUFFERED_BYTES and self._upstream is not None:
            self._upstream.fail("it declined at great length")

    def passes(self, data: bytes) -> int:
        """Up to where an event says what was used, unless the client is to get that too and it is not said yet."""
        if self._parts:
            return 0
        at = data.find(FIELD)
        return len(data) if at < 0 or not (self._adds_usage or says_usage(data, at)) else at

    def on_chunks(self, data: bytes, number: int, *, more: bool) -> None:
        if not self._begun and self._head is not None:
            self._begin(self._head)
        if not self._over:
            self._sink.write(data, chunks=number, more=more)

    def on_complete(self, data: bytes = b"") -> None:
        endpoint, head = self._endpoint, self._head
        if endpoint is None or head is None:
            return
        if head.streams and not self._begun and head.status not in _DECLINED:
            self._begin(head)
        if data:
            self._parts.append(data)
        if self._begun:
            self._end(endpoint)
            return
        body = b"".join(self._parts)
        if head.status in _REFUSED and self._adds_usage and endpoint.tells_usage is None:
            self._ask_without_usage(endpoint)
        elif head.status in _DECLINED:
            self._declined = head.status, head.to_client, body
            self._failed(f"status {head.status}", lost=False)
        elif head.status == _MAY_BE_FULL and code_of(body) == QUEUE_FULL:
            self._declined = head.status, head.to_client, body
            self._on_full(endpoint)
        else:
            self._release(endpoint)
            self._over = True
            self._note_success(endpoint, head.status)
            self._sink.respond(head.status, head.to_client, body)

    def _end(self, endpoint: Endpoint) -> None:
        self._release(endpoint)
        self._over = True
        self._sink.end(self._read_usage(b"".join(self._parts)) if self._parts else b"")

    def _ask_without_usage(self, endpoint: Endpoint) -> None:
        """The worker may not know the field by which it was asked for usage, or the client's request may be wrong."""
        self._may_ask = False
        self._open(endpoint)

    def _note_success(self, endpoint: Endpoint, status: int) -> None:
        balancer.note_success(endpoint)
        if status == 200 and self._call.hides_usage:
            endpoint.tells_usage = self._adds_usage

    def on_lost(self, reason: str) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            return
        if self._begun:
            self._break_off(endpoint, reason)
        elif self._may_be_stale and self._head is None:
            # It may have closed the idle connection just as the call came: that says nothing of the worker.
            self._connecting = asyncio.get_running_loop().create_task(self._connect(endpoint))
        else:
            self._failed(reason, lost=True)

    def on_bad_response(self, reason: str) -> None:
        """Another worker may do better; this one will not when it is asked once more."""
        if self._begun:
            self.on_lost(f"it went on with {reason}")
            return
        self._bad_responses += 1
        self._failed(f"its answer makes no sense: {reason}", lost=False)

    def on_silent(self, reason: str, *, suspect: bool) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            return
        if self._begun:
            self._break_off(endpoint, reason)
            return
        now = time.monotonic()
        self._release(endpoint)
        ejected = self._dispatch.fell_silent(endpoint, now, suspect=suspect)
        self._go_on(endpoint, reason, now, ejected=ejected)

    def _break_off(self, endpoint: Endpoint, reason: str) -> None:
        logger.warning("worker %s was lost in the middle of an answer: %s", endpoint.url, reason)
        self._release(endpoint)
        self._over = True
        self._sink.refuse(worker_lost(self._dispatch.model.name))

    def _begin(self, head: ResponseHead) -> None:
        assert self._endpoint is not None  # noqa: S101  # an answer is being read
        self._note_success(self._endpoint, head.status)
        self._begun = True
        self._streams = head.streams
        if head.streams:
            self._usage = StreamUsage(hidden=self._adds_usage)
        else:
            self._search = Search()
        self._sink.begin(head.status, head.to_client, streams=head.streams)
        parts, self._parts = self._parts, []
        if parts and not self._over:
            self._pass_on(b"".join(parts))

    def _pass_on(self, data: bytes) -> None:
        """Whole events only, so that a worker's death leaves no half one in front of the error's."""
        if self._streams and (self._parts or not data.endswith(_EVENT_ENDS)):
            data, rest = _split(b"".join([*self._parts, data]), _EVENT_ENDS)
            self._parts = [rest] if rest else []
        data = self._read_usage(data)
        if data:
            self._sink.write(data)

    def _read_usage(self, data: bytes) -> bytes:
        """Note what a part says of it; returns what the client gets of the part."""
        if not self._streams:
            self._search.feed(data)
            self._note_usage(self._search.found)
        elif FIELD in data or self._usage.is_cut or not data.endswith(_EVENT_ENDS):
            data = self._usage.read(data)
            self._note_usage(self._usage.found)
        return data

    def _note_usage(self, tokens: Tokens | None) -> None:
        if tokens is not None:
            self._sink.used(tokens)


class _Waiting:
    """A relay's place in a model's queue, with what happens while it waits."""

    def __init__(self, relay: Relay, step: Wait, comment_seconds: float | None) -> None:
        self.model = step.model
        self.sequences = relay.sequences
        self._relay = relay
        self._deadline = step.deadline
        self._comment_seconds = comment_seconds
        self._since = time.monotonic()
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def _hold(self) -> RequestQueue:
        return self.model.queue

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._deadline - time.monotonic()
        self._timers = [loop.call_later(left, self._relay.give_up_waiting, self.model)]
        if self._comment_seconds is not None:
            self._timers.append(loop.call_later(self._comment_seconds, self._comment))
        if self.model.ready:
            loop.call_soon(self._hold.wake)  # those before it may all wait for what only they lack

    def look(self) -> bool:
        return self._relay.look_again()

    def evict(self) -> None:
        self._relay.evict()

    def leave(self, key: str) -> float:
        """Seconds that it lasted."""
        for timer in self._timers:
            timer.cancel()
        self._hold.leave(self, key)
        return time.monotonic() - self._since

    def _comment(self) -> None:
        self._timers[1] = asyncio.get_running_loop().call_later(self._comment_seconds or 0, self._comment)
        self._relay.comment()


class Collected:
    """A sink that keeps a whole answer for whoever awaits it."""

    def __init__(self) -> None:
        self.future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._parts: list[bytes] = []

    def respond(self, status: int, lines: bytes, body: bytes) -> None:  # noqa: ARG002  # a sink's
        self._set(status, body)

    def begin(self, status: int, lines: bytes, *, streams: bool) -> None:  # noqa: ARG002  # a sink's
        self._status = status

    def write(self, data: bytes, *, chunks: int = 0, more: bool = False) -> None:  # noqa: ARG002  # never asked for
        self._parts.append(data)

    def end(self, data: bytes) -> None:
        self._set(self._status, b"".join([*self._parts, data]))

    def used(self, tokens: Tokens) -> None:
        """It costs nothing."""

    def refuse(self, refusal: RefusedError) -> None:
        if not self.future.done():
            self.future.set_exception(refusal)

    def comment(self) -> None:
        """Nobody listens meanwhile."""

    def _set(self, status: int, body: bytes) -> None:
        if not self.future.done():
            self.future.set_result((status, body))


async def collect(context: RelayContext, call: Call, model: Model) -> tuple[int, bytes]:
    """A worker's status and body; raises RefusedError."""
    sink = Collected()
    relay = Relay(context, call, sink, model)
    relay.start(time.monotonic())
    try:
        return await sink.future
    except asyncio.CancelledError:
        relay.cancel()
        raise


@lru_cache(maxsize=1024)
def _key_line(key: str) -> bytes:
    return f"{KEY_HEADER}: {quote(key, safe='')}\r\n".encode()


def _split(data: bytes, ends: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Whole events, and the beginning of the next."""
    end = max(data.rfind(mark) + len(mark) if mark in data else 0 for mark in ends)
    return (data[:end], data[end:]) if len(data) - end <= _LONGEST_EVENT else (data, b"")
