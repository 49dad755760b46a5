"""A request's attempts: which worker gets it, when it waits, and whether another one gets it after a failure."""

import asyncio
import logging
import time

from fastchat._runtime.refusal import QUEUE_FULL
from fastchat_gateway.errors import (
    RefusedError,
    bad_response,
    code_of,
    model_changed,
    no_worker,
    queue_full,
    server_error,
    worker_lost,
    worker_silent,
    workers_failed,
)
from fastchat_gateway.http.response_head import ResponseHead
from fastchat_gateway.proxy.call import Call
from fastchat_gateway.proxy.context import RelayContext, resume_lines
from fastchat_gateway.proxy.response import BUFFERED_BYTES, DECLINED, Response, Sink
from fastchat_gateway.proxy.resumption import Resumption
from fastchat_gateway.proxy.waiting import Waiting
from fastchat_gateway.routing import balancer
from fastchat_gateway.routing.catalog import Endpoint, Model
from fastchat_gateway.routing.dispatch import MOST_LOST, Dispatch, GiveUp, Wait
from fastchat_gateway.routing.prefix import prefix_of
from fastchat_gateway.telemetry.metrics import Resumed
from fastchat_gateway.workers.pool import ConnectError
from fastchat_gateway.workers.upstream import Upstream

logger = logging.getLogger(__name__)

_REFUSED = (400, 422)
_OTHER_MODEL = 409
"""Of a request to go on with a response. By `_REFUSED` a worker may be of a release that cannot."""
_MAY_BE_FULL = 429


class _Connecting:
    """A worker has been chosen, and there is no connection to it yet."""

    def __init__(self, endpoint: Endpoint, *, may_ask: bool) -> None:
        self.endpoint = endpoint
        self.may_ask = may_ask
        """Usage may be asked for."""
        self.task: asyncio.Task[None] | None = None


class Attempts:
    """One request's. It waits, has a worker connected to, or has a response to come: `_stage` is that and no more."""

    endpoint = ""
    """URL of the worker that has the request, or had it last."""
    _declined: tuple[int, bytes, bytes] | None = None
    """The last response by which a worker declined or was full: the client gets it where no other worker is left."""
    _bad_responses = 0

    def __init__(self, context: RelayContext, call: Call, sink: Sink, model: Model, *, chunks: bool = False) -> None:
        """`chunks`: the sink takes a stream's chunks as they come."""
        prefix = prefix_of(call.body) if model.record.load_balancing == "PrefixHash" else None
        self._context = context
        self._call = call
        self._sink = sink
        self._dispatch = Dispatch(context.catalog, call.model, prefix)
        self._takes_chunks = chunks
        resuming = context.resuming if call.is_resumable else None
        self._resumption = None if resuming is None else Resumption(resuming, call.sequences)
        self._paused: tuple[float, Resumed, str] | None = None
        """Since when nothing is generated for a response that has begun, why, and the model's name."""
        if call.progress is not None and self._resumption is not None:
            self._resumption.restore(call.progress)
            self._pause(time.monotonic(), "reconnected", model.name)
        # Not a default of the class: mypyc (2.4) leaves None out there where the type is a union of more than two.
        self._stage: Waiting | _Connecting | Response | None = None
        """None: between two of them, and when the request is over."""

    @property
    def _is_ours(self) -> bool:
        """What there is to go on from is of a worker, and not of a client."""
        return self._call.progress is None

    @property
    def sequences(self) -> int:
        """What the request counts for."""
        return self._call.sequences

    def start(self, now: float) -> None:
        """`now` is a time of the monotonic clock, in seconds."""
        self._advance(now)

    def cancel(self) -> None:
        """Nobody wants the response any more; the sink hears nothing from here on."""
        stage = self._stage
        if isinstance(stage, Response):
            stage.stop()
            self._release(stage.endpoint)
        elif isinstance(stage, _Connecting):
            if stage.task is not None:
                stage.task.cancel()
            self._release(stage.endpoint)
        else:
            self._leave_queue()

    def close(self) -> None:
        """The request is over."""
        self._end_pause()
        if self._resumption is not None:
            self._resumption.close()

    def pause(self) -> None:
        """The client does not keep up."""
        if isinstance(self._stage, Response):
            self._stage.pause()

    def resume(self) -> None:
        if isinstance(self._stage, Response):
            self._stage.resume()

    # Where to.

    def _advance(self, now: float) -> None:
        try:
            step = self._dispatch.next(now)
        except RefusedError as refusal:
            self._refuse(refusal)
            return
        if self._bad_responses and (self._bad_responses >= MOST_LOST or not isinstance(step, Endpoint)):
            self._refuse(bad_response(self._dispatch.model.name))
        elif isinstance(step, Endpoint):
            self._leave_queue()
            self._dispatch.model.take(step, self._call.sequences)
            self._open(step, may_ask=True)
        elif isinstance(step, Wait):
            self._wait(step)
        else:
            self._give_up(step)

    def _give_up(self, step: GiveUp) -> None:
        if step.lost:
            logger.error(
                "request %s for model %s is given up, for it may be what workers die of: it was lost with %s",
                self._sink.request_id.decode(),
                step.model.name,
                " and ".join(step.lost),
            )
        if step.silence:
            self._refuse(worker_silent(step.model.name))
        elif step.differs:
            self._refuse(model_changed(step.model.name))
        elif self._declined is not None:
            self._leave_queue()
            self._sink.respond(*self._declined)
        else:
            self._refuse(workers_failed(step.model.name))

    def _refuse(self, refusal: RefusedError) -> None:
        self._leave_queue()
        if self._paused is not None:
            self._context.metrics.cut(self._dispatch.model.name, refusal.error.code or "")
        self._sink.refuse(refusal)

    # In the queue.

    def _wait(self, step: Wait) -> None:
        if isinstance(self._stage, Waiting) and self._stage.model is step.model:
            return
        self._leave_queue()
        comment_seconds = self._context.comment_seconds if self._call.stream else None
        waiting = Waiting(self, step, self._call.key, comment_seconds)
        if not waiting.enter(first=self._paused is not None):
            self.evict(step.model)
            return
        self._stage = waiting
        if self._call.trace is not None:
            self._call.trace.mark("held")

    def _leave_queue(self) -> None:
        stage = self._stage
        if isinstance(stage, Waiting):
            self._stage = None
            self._context.metrics.held(stage.model.name, stage.leave())

    def look_again(self) -> bool:
        """There may be a worker; False where there is none for anybody."""
        self._advance(time.monotonic())
        return not isinstance(self._stage, Waiting) or self._dispatch.has_failed

    def evict(self, model: Model) -> None:
        """There is no place for it in the queue."""
        self._context.metrics.queue_refused(model.name, "full")
        self._refuse(queue_full(model.name))

    def comment(self) -> None:
        self._sink.comment()

    def give_up_waiting(self, model: Model) -> None:
        """The time is over."""
        self._context.metrics.queue_refused(model.name, "timeout")
        self._refuse(no_worker(model.name, model.record.queue.timeout_seconds))

    # To a worker.

    def _open(self, endpoint: Endpoint, *, may_ask: bool) -> None:
        upstream = self._context.pool.take(endpoint.url)
        if upstream is not None:
            self._send(endpoint, upstream, may_ask=may_ask)
        else:
            self._connect(endpoint, may_ask=may_ask)

    def _connect(self, endpoint: Endpoint, *, may_ask: bool) -> None:
        connecting = self._stage = _Connecting(endpoint, may_ask=may_ask)
        connecting.task = asyncio.get_running_loop().create_task(self._send_when_connected(connecting))

    async def _send_when_connected(self, connecting: _Connecting) -> None:
        endpoint = connecting.endpoint
        try:
            upstream = await self._context.pool.connect(endpoint.url)
        except ConnectError as error:
            self.on_failure(endpoint, str(error), lost=False)
        except RefusedError as refusal:
            self._release(endpoint)
            self._refuse(refusal)
        except Exception:
            logger.exception("connecting to worker %s failed", endpoint.url)
            self._release(endpoint)
            self._refuse(server_error())
        else:
            self._send(endpoint, upstream, may_ask=connecting.may_ask)

    def _send(self, endpoint: Endpoint, upstream: Upstream, *, may_ask: bool) -> None:
        self.endpoint = upstream.url
        if self._call.trace is not None:
            self._call.trace.mark("sent")
        asks_usage = self._call.hides_usage and may_ask and endpoint.tells_usage is not False
        body = self._call.body_for(self._dispatch.model.name, with_usage=asks_usage)
        lines = self._context.identity(self._call.key)
        if self._resumption is not None:
            document = self._resumption.document()
            lines, body = lines + resume_lines(len(document)), document + body if document else body
        head = self._call.head(upstream.host_line, lines, len(body))
        response = self._stage = Response(self, endpoint, upstream, self._sink, self._resumption, asks_usage=asks_usage)
        if len(body) < BUFFERED_BYTES:
            upstream.send(response, head + body, chunks=self._takes_chunks)
        else:
            upstream.send(response, head, body, chunks=self._takes_chunks)

    def _release(self, endpoint: Endpoint) -> None:
        """The worker does not have the request any more; there may be room for one that is held."""
        model = self._dispatch.model
        model.release(endpoint, self._call.sequences)
        self._stage = None
        if model.queue.length:
            asyncio.get_running_loop().call_soon(model.queue.wake)

    # What became of an attempt: its response tells.

    def on_first_byte(self) -> None:
        if self._call.trace is not None:
            self._call.trace.mark("first_byte")

    def on_whole(self, response: Response, head: ResponseHead, body: bytes) -> None:
        """A response that may go to the client as a whole, or send the request elsewhere."""
        endpoint, status = response.endpoint, head.status
        if status == 200:
            self._respond(response, head, body)
        elif head.handed_over and self._resumption is not None and self._resumption.take_over(body):
            self.on_handed_over(endpoint)
        elif self._paused is not None and (status == _OTHER_MODEL or (status in _REFUSED and self._is_ours)):
            self._on_different(endpoint)
        elif status in DECLINED:
            self._declined = status, head.to_client, body
            self.on_failure(endpoint, f"status {status}", lost=False)
        elif status == _MAY_BE_FULL and code_of(body) == QUEUE_FULL:
            self._declined = status, head.to_client, body
            self._on_full(endpoint)
        elif status in _REFUSED and response.asks_usage and endpoint.tells_usage is None:
            # The worker may not know the field by which it was asked for usage, or the client's request may be wrong.
            self._open(endpoint, may_ask=False)
        else:
            self._respond(response, head, body)

    def _respond(self, response: Response, head: ResponseHead, body: bytes) -> None:
        self._release(response.endpoint)
        self.on_begin(response, head.status)
        self._sink.respond(head.status, head.to_client, body)

    def on_begin(self, response: Response, status: int) -> None:
        """The client gets this response."""
        endpoint = response.endpoint
        balancer.note_success(endpoint)
        if self._paused is not None:
            since, why, name = self._paused
            self._context.metrics.resumed(name, why, time.monotonic() - since)
            self._end_pause()
        if status == 200 and self._call.hides_usage:
            endpoint.tells_usage = response.asks_usage

    def on_end(self, endpoint: Endpoint) -> None:
        """All of a response has come that had begun to go to the client."""
        self._release(endpoint)

    def on_broken(self, endpoint: Endpoint, reason: str, *, silent: bool = False) -> None:
        """A response that had begun to go to the client does not go on here; `silent`: the worker says nothing more."""
        now = time.monotonic()
        self._release(endpoint)
        if self._resumption is None or not self._resumption.is_possible:
            logger.warning("worker %s was lost in the middle of a response: %s", endpoint.url, reason)
            self._context.metrics.cut(self._dispatch.model.name, "not_resumable")
            self._sink.refuse(worker_lost(self._dispatch.model.name))
            return
        self._pause(now, "lost", self._dispatch.model.name)
        went_on = self._resumption.went_on()
        ejected = self._dispatch.lost_midway(endpoint, now, went_on=went_on, silent=silent)
        self._try_another(endpoint, reason, now, ejected=ejected)

    def on_handed_over(self, endpoint: Endpoint) -> None:
        """The worker stops, and has said what it takes for another one to go on."""
        now = time.monotonic()
        self._release(endpoint)
        self._pause(now, "handed_over", self._dispatch.model.name)
        if self._call.trace is not None:
            self._call.trace.failed(endpoint.url, "handed over")
        self._dispatch.handed_over(endpoint)
        self._advance(now)

    def _pause(self, now: float, why: Resumed, name: str) -> None:
        """Nothing is generated from now on, or from when that began; `name`: the model's."""
        if self._paused is None:
            self._paused = now, why, name
            self._context.metrics.pausing(name, 1)
            if self._call.trace is not None:
                self._call.trace.pause(why)

    def _end_pause(self) -> None:
        if self._paused is not None:
            self._context.metrics.pausing(self._paused[2], -1)
            self._paused = None
            if self._call.trace is not None:
                self._call.trace.go_on()

    def _on_different(self, endpoint: Endpoint) -> None:
        """The worker cannot go on with what another one began; a response that is no stream it can begin anew."""
        if self._resumption is not None and self._resumption.drop():
            self._end_pause()  # what this worker says from here on is of a request like any other
            self._open(endpoint, may_ask=True)
            return
        self._release(endpoint)
        balancer.note_success(endpoint)
        self._dispatch.differs(endpoint)
        self._note_retry(endpoint, "another model", ejected=False)
        self._advance(time.monotonic())

    def on_stale(self, response: Response) -> None:
        """The worker may have closed the idle connection just as the request came: that says nothing of the worker."""
        self._connect(response.endpoint, may_ask=response.asks_usage)

    def on_bad_response(self, endpoint: Endpoint, reason: str) -> None:
        """Another worker may do better; this one will not when it gets the request once more."""
        self._bad_responses += 1
        self.on_failure(endpoint, f"its response makes no sense: {reason}", lost=False)

    def on_failure(self, endpoint: Endpoint, reason: str, *, lost: bool) -> None:
        """The worker did not serve the request; `lost`: it went away while it had it."""
        now = time.monotonic()
        self._release(endpoint)
        self._try_another(endpoint, reason, now, ejected=self._dispatch.failed(endpoint, now, lost=lost))

    def on_silent(self, endpoint: Endpoint, reason: str, *, suspect: bool) -> None:
        """The worker responds to nobody any more; `suspect`: this request may be why."""
        now = time.monotonic()
        self._release(endpoint)
        self._try_another(endpoint, reason, now, ejected=self._dispatch.fell_silent(endpoint, now, suspect=suspect))

    def _try_another(self, endpoint: Endpoint, reason: str, now: float, *, ejected: bool) -> None:
        self._note_retry(endpoint, reason, ejected=ejected)
        logger.warning("worker %s failed: %s%s", endpoint.url, reason, "; left out for a while" if ejected else "")
        self._advance(now)

    def _on_full(self, endpoint: Endpoint) -> None:
        """The worker's queue is full, which is no fault of its own; another one's may not be."""
        self._release(endpoint)
        balancer.note_success(endpoint)
        self._dispatch.was_full(endpoint)
        self._note_retry(endpoint, QUEUE_FULL, ejected=False)
        self._advance(time.monotonic())

    def _note_retry(self, endpoint: Endpoint, reason: str, *, ejected: bool) -> None:
        self._context.metrics.retry(self._dispatch.model.name, ejected=ejected)
        if self._call.trace is not None:
            self._call.trace.failed(endpoint.url, reason)
