"""Takes a call to a worker and brings the answer back: carries out what dispatch decides, over the transport."""

import logging
import time
from collections.abc import Awaitable, Callable

from fastchat_gateway import balancer
from fastchat_gateway.call import Call
from fastchat_gateway.catalog import Catalog
from fastchat_gateway.dispatch import Dispatch, GiveUp, Send, Wait
from fastchat_gateway.errors import queue_full, workers_failed
from fastchat_gateway.hold import Full, Place
from fastchat_gateway.metrics import Metrics
from fastchat_gateway.transport import Answer, Transport, WorkerFailed

logger = logging.getLogger(__name__)

Comment = Callable[[], Awaitable[None]]
_DECLINED = (502, 503)


class Forwarded:
    """A worker's answer and whose it is; outstanding there until it is closed."""

    __slots__ = ("_closed", "_step", "answer")

    def __init__(self, answer: Answer, step: Send) -> None:
        self.answer = answer
        self._step = step
        self._closed = False

    @property
    def url(self) -> str:
        """The worker's."""
        return self._step.endpoint.url

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._step.release()
            self.answer.close()


class Forwarder:
    """Tries, waits and tries again until a worker has answered."""

    def __init__(self, catalog: Catalog, transport: Transport, metrics: Metrics, *, comment_seconds: float) -> None:
        self._catalog = catalog
        self._transport = transport
        self._metrics = metrics
        self._comment_seconds = comment_seconds

    async def forward(self, call: Call, comment: Comment | None = None) -> Forwarded:
        """The first answer of a worker; the caller closes it. Raises Refused where there is none.

        `comment` is awaited every few seconds while the call is held.
        """
        dispatch = Dispatch(self._catalog, call.model)
        declined: Forwarded | None = None
        step = dispatch.next(time.monotonic())
        while True:
            if isinstance(step, Send):
                forwarded = await self._try(step, call, dispatch)
                if forwarded is not None and forwarded.answer.status not in _DECLINED:
                    return forwarded
                declined = forwarded or declined
                step = dispatch.next(time.monotonic())
            elif isinstance(step, Wait):
                step = await self._wait(step, dispatch, comment)
            elif declined is not None:
                return declined
            else:
                raise workers_failed(step.model.name)

    async def _try(self, step: Send, call: Call, dispatch: Dispatch) -> Forwarded | None:
        """One endpoint's answer, None if it failed. One that declines has failed too, but its answer is kept."""
        endpoint, name = step.endpoint, step.model.name
        step.take()
        try:
            answer = await self._transport.post(endpoint.url, call.path, call.body_for(name), call.headers)
        except WorkerFailed as failure:
            step.release()
            self._note_failure(step, dispatch, str(failure), lost=failure.lost)
            return None
        except BaseException:
            step.release()
            raise
        forwarded = Forwarded(answer, step)
        if answer.status in _DECLINED:
            forwarded.close()
            self._note_failure(step, dispatch, f"status {answer.status}", lost=False)
        else:
            balancer.note_success(endpoint)
        return forwarded

    def _note_failure(self, step: Send, dispatch: Dispatch, reason: str, *, lost: bool) -> None:
        ejected = dispatch.failed(step.endpoint, time.monotonic(), lost=lost)
        self._metrics.retry(step.model.name, ejected=ejected)
        logger.warning("worker %s failed: %s%s", step.endpoint.url, reason, "; left out for a while" if ejected else "")

    async def _wait(self, step: Wait, dispatch: Dispatch, comment: Comment | None) -> Send | Wait | GiveUp:
        """Hold the call until there is something else to do; it keeps its place while others find an endpoint."""
        model = step.model
        following: Send | Wait | GiveUp = step
        try:
            with model.hold.enter(model.record.queue.max_requests) as place:
                while isinstance(following, Wait) and following.model is model:
                    await self._until_called(place, following.deadline, comment)
                    following = dispatch.next(time.monotonic())
        except Full:
            raise queue_full(model.name) from None
        return following

    async def _until_called(self, place: Place, deadline: float, comment: Comment | None) -> None:
        while (left := deadline - time.monotonic()) > 0:
            if await place.wait(min(left, self._comment_seconds) if comment else left):
                return
            if comment and left > self._comment_seconds:
                await comment()
