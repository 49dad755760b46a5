"""One request's way to an endpoint: where next, wait, or give up. Pure policy; moving the bytes is the transport's."""

from dataclasses import dataclass

from fastchat_gateway.errors import no_worker
from fastchat_gateway.routing import balancer
from fastchat_gateway.routing.catalog import NO_LIMIT, Catalog, Endpoint, Model

MOST_ROUNDS = 3
MOST_LOST = 2
MOST_FULL = 3

_NONE: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Wait:
    """Hold the request until its model's endpoints change, at most until the deadline."""

    model: Model
    deadline: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Enough workers failed or are full: the client gets the last one's response, or a 502; a 504 after `silence`.

    `differs`: none of them has the model that began the response.
    """

    model: Model
    silence: bool = False
    differs: bool = False
    lost: tuple[str, ...] = ()
    """URLs of the workers that went away or fell silent while they had the request, where that is why."""


class Dispatch:
    """The decisions for one request.

    Each ready endpoint is tried at most once. When none is left the request is held, like one that found no ready
    endpoint, until a new endpoint appears or discovery confirms a failed one: that is a worker that was restarted or
    has only dropped a connection, and a fresh chance. A worker's own 502 or 503 says "not me, not now" and is a
    failure like a refused connection; discovery, a moment behind, soon says the same or confirms the worker.
    One whose queue is full has not failed: another one is tried, and when MOST_FULL are, or no other is left, the
    client hears that at once.
    Three bounds: after MOST_ROUNDS such rounds, after MOST_LOST workers were lost while they had this request (it
    may be what kills them), and after one that it may have silenced, the request is given up.
    """

    _in_line = False
    _failed = False
    _rounds = 0
    _lost: tuple[str, ...] = ()
    """URLs of the workers that this request may have ended."""
    _full = 0
    _silenced = False
    _differs = False
    _deadline: float | None = None
    model: Model

    def __init__(self, catalog: Catalog, name: str, prefix: int | None = None) -> None:
        """`prefix`: with what the prompt begins, where that decides."""
        self._catalog = catalog
        self._name = name
        self._prefix = prefix
        self._tried: frozenset[tuple[str, int]] = _NONE

    @property
    def has_failed(self) -> bool:
        """Some endpoint did not serve the request: what it finds is not what others would."""
        return bool(self._tried)

    def next(self, now: float) -> Endpoint | Wait | GiveUp:
        """What to do now: an endpoint is to be tried, for `self.model`.

        Raises RefusedError for a model that does not exist (any more) and after the deadline.
        """
        model = self._catalog.find(self._name)
        if model is None:
            raise self._catalog.unknown(self._name)
        if self._silenced or len(self._lost) >= MOST_LOST:
            return GiveUp(model, self._silenced, lost=self._lost)
        if self._full >= MOST_FULL:
            return GiveUp(model)
        if model.queue.length and not self._in_line and not self._tried:
            return self._wait(model, now)  # behind those who came before
        most = model.most_outstanding(now) if model.spread_until else NO_LIMIT
        endpoint = balancer.pick(model.endpoints, now, self._tried, most_outstanding=most, prefix=self._prefix)
        if endpoint is not None:
            self.model = model
            return endpoint
        return GiveUp(model, differs=self._differs) if self._full or self._differs else self._wait(model, now)

    def lost_midway(self, endpoint: Endpoint, now: float, *, went_on: bool, silent: bool) -> bool:
        """The endpoint is gone, or `silent`, after it had begun to respond; True: it is ejected now.

        `went_on`: it had got further than those before it, so that what they died of is not this request.
        """
        if went_on:
            self._began_anew()
        endpoint.silent = endpoint.silent or silent
        return self.failed(endpoint, now, lost=True)

    def handed_over(self, endpoint: Endpoint) -> None:
        """The endpoint stops and gives the request back, with what it has generated."""
        self._began_anew()
        self._leave_out(endpoint)

    def differs(self, endpoint: Endpoint) -> None:
        """The endpoint has another model than the one that began the response."""
        self._differs = True
        self._leave_out(endpoint)

    def _began_anew(self) -> None:
        self._lost = ()
        self._rounds = self._full = 0
        self._silenced = False
        self._deadline = None

    def _leave_out(self, endpoint: Endpoint) -> None:
        self._tried = self._tried.union((endpoint.attempt_key,))

    def fell_silent(self, endpoint: Endpoint, now: float, *, suspect: bool) -> bool:
        """The endpoint responds no more; `suspect`: this request may be why. True: it is ejected now."""
        endpoint.silent = True
        self._silenced = suspect
        return self.failed(endpoint, now, lost=suspect)

    def failed(self, endpoint: Endpoint, now: float, *, lost: bool) -> bool:
        """The endpoint did not serve the request; `lost`: it went away while it had it. True: it is ejected now."""
        self._leave_out(endpoint)
        self._failed = True
        if lost:
            self._lost = (*self._lost, endpoint.url)
        return balancer.note_failure(endpoint, now)

    def was_full(self, endpoint: Endpoint) -> None:
        """The endpoint's queue is full."""
        self._leave_out(endpoint)
        self._full += 1

    def _wait(self, model: Model, now: float) -> Wait | GiveUp:
        if self._failed:
            self._failed = False
            self._rounds += 1
            if self._rounds >= MOST_ROUNDS:
                return GiveUp(model)
        self._in_line = True
        seconds = model.record.queue.timeout_seconds
        if self._deadline is None:
            self._deadline = now + seconds
        if now >= self._deadline:
            raise no_worker(model.name, seconds)
        return Wait(model, self._deadline)
