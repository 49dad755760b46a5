"""What happens to workers, and to which of them."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from support.eventually import PATIENCE_SECONDS, eventually_async
from support.gateways import Running
from support.workers import WorkerProcess

TOKEN = b"internal-token"
"""Of the gateways, by which they tell where requests are."""


def kill(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGKILL)


def freeze(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGSTOP)


def thaw(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGCONT)


def stop(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGTERM)


async def each_went_on(
    gateway: Running, lost: WorkerProcess, parts: Callable[[], Mapping[Any, int]], seconds: float = PATIENCE_SECONDS
) -> None:
    """Returns when each stream has got more since the worker was lost: two lost without a token between are too many.

    parts: how many each has got that is under way.
    """

    async def moved() -> bool:
        """Nothing is at the lost worker any more, nor between two."""
        demand = await gateway.demand("small", TOKEN)
        return not demand.paused and not any(worker.outstanding for worker in demand.workers if worker.url == lost.url)

    await eventually_async(moved, seconds)
    await gateway.demand("small", TOKEN)  # by then the clients have read what the lost worker had sent
    before = dict(parts())

    def went_on() -> bool:
        now = parts()
        return all(stream not in now or now[stream] > count for stream, count in before.items())

    await eventually_async(went_on, seconds)


def busiest(workers: Sequence[WorkerProcess]) -> WorkerProcess:
    """The one that computes most sequences."""
    return max(workers, key=lambda worker: worker.gauge("sequences_running"))
