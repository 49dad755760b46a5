"""What is served and where: models, their names, their endpoints, as discovery last saw them."""

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from fastchat.api import ModelCard, Task
from fastchat.demand import Loading
from fastchat_gateway.errors import RefusedError, model_not_found, not_discovered
from fastchat_gateway.routing.queue import RequestQueue

LoadBalancing = Literal["LeastRequests", "PrefixHash"]


@dataclass(frozen=True)
class QueueLimits:
    """How many requests of one model wait while no worker is ready, and for how long."""

    max_requests: int = 256
    timeout_seconds: float = 600.0


@dataclass(frozen=True)
class EndpointRecord:
    """What discovery says of one worker."""

    url: str
    ready: bool
    """It takes new requests."""
    uid: str = ""
    """Tells apart the workers that have one address after another; empty where nobody knows."""

    @property
    def key(self) -> tuple[str, str]:
        return self.url, self.uid


@dataclass(frozen=True)
class ModelRecord:
    """What discovery says of one model."""

    name: str
    """Its own, by which its workers know it."""
    names: tuple[str, ...]
    """Its own name and its aliases; no other model has any of them."""
    endpoints: tuple[EndpointRecord, ...] = ()
    replicas: int = 1
    """Workers that there should be."""
    task: Task | None = None
    max_model_len: int | None = None
    root: str | None = None
    parent: str | None = None
    """Of an adapter, the model that it adapts, on whose workers it runs."""
    created: int = 0
    queue: QueueLimits = field(default_factory=QueueLimits)
    load_balancing: LoadBalancing = "LeastRequests"
    replaced_in_place: bool = False
    """A worker's successor can only start once it has gone."""
    status: Mapping[str, Any] | None = field(default=None, compare=False)
    """What its ModelDeployment's status says, for people: `conditions` with the root cause, `progress`."""


NO_LIMIT = sys.maxsize
SPREAD_SECONDS = 10.0
"""After the first worker is ready, the requests held leave their share to the others for this long."""

_GENERATIONS = itertools.count()
_GENERATING: frozenset[Task | None] = frozenset((None, "Generate"))
"""Tasks of models that generate text; an engine that does not say its own mostly does."""


class Endpoint:
    """One worker and how it has been doing; the same object for every model it serves."""

    __slots__ = (
        "ejected_until",
        "ejections",
        "failures",
        "generation",
        "loading",
        "on_trial",
        "outstanding",
        "ready",
        "seed",
        "silent",
        "suspect",
        "tells_usage",
        "uid",
        "url",
    )

    def __init__(self, url: str, uid: str = "") -> None:
        self.url = url
        self.uid = uid
        self.ready = False
        self.outstanding = 0
        """Sequences."""
        self.tells_usage: bool | None = None
        """It accepts `stream_options.include_usage`; None: that was not tried yet."""
        self.failures = 0
        self.ejections = 0
        self.ejected_until = 0.0
        self.suspect = False
        self.silent = False
        """It has left probes without a response since discovery last confirmed it."""
        self.on_trial = False
        self.loading: Loading | None = None
        """How far it is where it still loads, as it has said last."""
        self.generation = next(_GENERATIONS)
        """A new number each time that the worker came back, or was seen ready after a failure."""
        self.seed = int.from_bytes(blake2b(f"{url} {uid}".encode(), digest_size=8).digest())
        """The same number in every gateway."""

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, ready={self.ready}, outstanding={self.outstanding})"

    @property
    def attempt_key(self) -> tuple[str, int]:
        """What a request remembers of an endpoint that it tried: one of a newer generation may be tried again."""
        return self.url, self.generation

    def renew(self) -> None:
        """Begin a new generation: the worker came back, or was seen ready after a failure."""
        self.generation = next(_GENERATIONS)
        self.suspect = self.silent = False

    def reset(self) -> None:
        """Forget its past: it was away and is back."""
        self.failures = self.ejections = 0
        self.ejected_until = 0.0
        self.on_trial = False
        self.tells_usage = None


class Model:
    """One model: its record, the live endpoints, the requests that wait for one."""

    def __init__(self, record: ModelRecord) -> None:
        self.describe(record)
        self.endpoints: tuple[Endpoint, ...] = ()
        self.queue = RequestQueue()
        self.in_flight = 0
        self.spread_until = 0.0

    def describe(self, record: ModelRecord) -> None:
        """What discovery says of it now."""
        self.record = record
        self.name = record.name

    def take(self, endpoint: Endpoint, sequences: int = 1) -> None:
        """A request of so many sequences goes to this worker, until `release`."""
        self.in_flight += 1
        endpoint.outstanding += sequences
        endpoint.on_trial = endpoint.ejections > 0

    def release(self, endpoint: Endpoint, sequences: int = 1) -> None:
        self.in_flight -= 1
        endpoint.outstanding -= sequences
        endpoint.on_trial = False

    @property
    def ready(self) -> int:
        """Workers that take requests."""
        return sum(endpoint.ready for endpoint in self.endpoints)

    def most_outstanding(self, now: float) -> int:
        """Sequences that one worker may have at a time: its share while other workers start, else NO_LIMIT."""
        if now >= self.spread_until or not self.queue.length:
            return NO_LIMIT
        sequences = self.queue.sequences + sum(endpoint.outstanding for endpoint in self.endpoints)
        return math.ceil(sequences / max(self.record.replicas, self.ready, 1))

    def card(self, alias: str | None = None) -> ModelCard:
        """The entry of `GET /v1/models`; an alias names the model as its root."""
        record = self.record
        about: dict[str, Any] = {"task": record.task, "max_model_len": record.max_model_len}
        about["root"] = record.name if alias else record.root
        about["parent"] = record.parent
        known = {key: value for key, value in about.items() if value is not None}
        return ModelCard(id=alias or record.name, created=record.created, **known)


class Catalog:
    """Name → model. Discovery writes it, requests read it, both on the event loop, so that no request sees half an
    update."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._models: dict[str, Model] = {}
        self._names: dict[str, Model] = {}
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._complete = True

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def find(self, name: str) -> Model | None:
        """The model of this name or alias."""
        return self._names.get(name)

    def unknown(self, name: str) -> RefusedError:
        """Why there is no model of this name: it does not exist, or discovery has not heard of all models yet."""
        return model_not_found(name) if self._complete else not_discovered(name)

    def names(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Names and aliases, all or those given that exist; each with its model's own name.

        In order, those of models that generate text first: clients chat with the first one listed.
        """
        known = [name for name in (self._names if names is None else names) if name in self._names]
        known.sort(key=lambda name: (self._names[name].record.task not in _GENERATING, name))
        return {name: self._names[name].name for name in known}

    def card(self, name: str) -> ModelCard | None:
        model = self._names.get(name)
        return None if model is None else model.card(None if name == model.name else name)

    def update(self, records: Iterable[ModelRecord], *, complete: bool = True) -> None:
        """Put a whole new state in place; requests that wait are told where it concerns them.

        `complete`: a name that is not in it does not exist.
        """
        records = list(records)
        self._complete = complete
        before = self._models
        renewed = self._place_endpoints(records)
        self._models = {record.names[0]: before.get(record.names[0]) or Model(record) for record in records}
        self._names = {name: self._models[record.names[0]] for record in records for name in record.names}
        for record, model in zip(records, self._models.values(), strict=True):
            changed = model.record != record
            asleep = not any(endpoint.ready and endpoint not in renewed for endpoint in model.endpoints)
            model.describe(record)
            model.endpoints = tuple(self._endpoints[endpoint.key] for endpoint in record.endpoints)
            if asleep and 0 < model.ready < record.replicas:
                model.spread_until = self._clock() + SPREAD_SECONDS
            if changed or not renewed.isdisjoint(model.endpoints):
                model.queue.wake_all()
        for name in before.keys() - self._models.keys():
            before[name].queue.wake_all()

    def sweep(self, now: float) -> None:
        """End the time in which held requests leave a share to workers that are still starting, where it is over."""
        for model in self:
            if 0 < model.spread_until <= now:
                model.spread_until = 0.0
                model.queue.wake()

    def suspects(self) -> list[Endpoint]:
        """Ready workers that have failed a request since discovery last confirmed them."""
        return [endpoint for endpoint in self._endpoints.values() if endpoint.suspect and endpoint.ready]

    def unready(self) -> list[Endpoint]:
        """Workers that take no requests: they load, stop, or are broken."""
        return [endpoint for endpoint in self._endpoints.values() if not endpoint.ready]

    def confirm(self, url: str, uid: str = "") -> None:
        """Discovery has just seen this worker ready: requests that it failed may try it again."""
        endpoint = self._endpoints.get((url, uid))
        if endpoint is None or not endpoint.suspect:
            return
        endpoint.renew()
        for model in self:
            if endpoint in model.endpoints:
                model.queue.wake_all()

    def _place_endpoints(self, records: Iterable[ModelRecord]) -> set[Endpoint]:
        """Bring the endpoints up to date; returns those that became ready."""
        renewed: set[Endpoint] = set()
        seen = {endpoint.key: endpoint for record in records for endpoint in record.endpoints}
        self._endpoints = {key: self._endpoints.get(key) or Endpoint(*key) for key in seen}
        for key, record in seen.items():
            endpoint = self._endpoints[key]
            if record.ready and not endpoint.ready:
                endpoint.renew()
                endpoint.reset()
                endpoint.loading = None
                renewed.add(endpoint)
            endpoint.ready = record.ready
        return renewed
