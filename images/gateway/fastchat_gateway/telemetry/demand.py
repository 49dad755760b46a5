"""What the autoscaler is told: sequences held and in flight, by model and worker, as lines of JSON without end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

from fastchat.demand import Demand, Demands, Worker, encode
from fastchat_gateway.routing.catalog import Catalog
from fastchat_gateway.telemetry.metrics import Metrics

_LOOK_SECONDS = 0.05
_CHANGE_SECONDS = 0.25
_SILENCE_SECONDS = 2.0


async def lines(catalog: Catalog, metrics: Metrics, over: Callable[[], bool]) -> AsyncIterator[bytes]:
    """A whole snapshot per line, until it is `over`. Looking costs nothing while nobody listens."""
    said: Demands | None = None
    said_at = 0.0
    while not over():
        now, found = time.monotonic(), demands(catalog, metrics.ends())
        if due(said, found, now - said_at):
            yield encode(found)
            said, said_at = found, now
        await asyncio.sleep(_LOOK_SECONDS)


def demands(catalog: Catalog, ends: Mapping[str, tuple[int, int, int]]) -> Demands:
    """Every model's demand, in it that of its adapters, which run on its workers; `ends`: as of `Metrics.ends`."""
    found: dict[str, Demand] = {}
    for model in catalog:
        name = model.record.parent or model.name
        workers = tuple(Worker(each.url, each.uid, each.outstanding, each.loading) for each in model.endpoints)
        before, (moved, cut, paused) = found.get(name, Demand()), ends.get(model.name, (0, 0, 0))
        held = before.held + model.queue.sequences
        found[name] = Demand(held, workers, before.moved + moved, before.cut + cut, before.paused + paused)
    return found


def due(said: Demands | None, found: Demands, seconds: float) -> bool:
    """Whether a line is due, `seconds` after the last one: now where it wakes a model, else not for every change."""
    if said is None or seconds >= _SILENCE_SECONDS:
        return True
    if found == said:
        return False
    return seconds >= _CHANGE_SECONDS or any(_wakes(said.get(name, Demand()), now) for name, now in found.items())


def _wakes(before: Demand, now: Demand) -> bool:
    return bool(now.held and not before.held) or (_is_wanted(now) and not _is_wanted(before))


def _is_wanted(demand: Demand) -> bool:
    return bool(demand.held or demand.in_flight)
