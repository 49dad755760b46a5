"""What the autoscaler is told: sequences held and in flight, by model and worker, as lines of JSON without end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

import msgspec

from fastchat_gateway.routing.catalog import Catalog

PATH = "/demand"

_LOOK_SECONDS = 0.05
_CHANGE_SECONDS = 0.25
_SILENCE_SECONDS = 2.0


class Worker(NamedTuple):
    """One worker of a model, and the sequences that it has."""

    url: str
    uid: str
    outstanding: int


class Demand(NamedTuple):
    """One model's, in sequences: answers to one prompt, or inputs to be embedded."""

    held: int = 0
    workers: tuple[Worker, ...] = ()

    @property
    def is_wanted(self) -> bool:
        return self.held > 0 or any(worker.outstanding for worker in self.workers)


Demands = Mapping[str, Demand]


async def lines(catalog: Catalog, over: Callable[[], bool]) -> AsyncIterator[bytes]:
    """A whole snapshot per line, until it is `over`. Looking costs nothing while nobody listens."""
    said: Demands | None = None
    said_at = 0.0
    while not over():
        now, found = time.monotonic(), demands(catalog)
        if due(said, found, now - said_at):
            yield line(found)
            said, said_at = found, now
        await asyncio.sleep(_LOOK_SECONDS)


def demands(catalog: Catalog) -> Demands:
    """Every model's demand."""
    return {
        model.name: Demand(model.hold.sequences, tuple(Worker(e.url, e.uid, e.outstanding) for e in model.endpoints))
        for model in catalog
    }


def due(said: Demands | None, found: Demands, seconds: float) -> bool:
    """Whether a line is due, `seconds` after the last one: now where it wakes a model, else not for every change."""
    if said is None or seconds >= _SILENCE_SECONDS:
        return True
    if found == said:
        return False
    return seconds >= _CHANGE_SECONDS or any(_wakes(said.get(name, Demand()), now) for name, now in found.items())


def _wakes(before: Demand, now: Demand) -> bool:
    return bool(now.held and not before.held) or (now.is_wanted and not before.is_wanted)


def line(found: Demands) -> bytes:
    models = {
        name: {"held": demand.held, "endpoints": [worker._asdict() for worker in demand.workers]}
        for name, demand in found.items()
    }
    return msgspec.json.encode({"models": models}) + b"\n"
