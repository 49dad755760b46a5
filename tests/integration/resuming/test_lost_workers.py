"""Responses of every kind at workers that are killed, frozen or stopped: each ends as if nothing had been."""

import asyncio
import os
import re
import signal
import time

import pytest
from integration.resuming.faults import busiest, each_went_on, freeze, kill, stop
from integration.resuming.requests import KINDS, Received, ask, chat, check_equal
from product.floors import assert_floor
from support.eventually import eventually_async
from support.gateways import Running
from support.workers import WorkerProcess

LONG = 1900
COPIES = 2
"""Responses of each kind at a time."""


class Traffic:
    """Requests of every kind at once, and what came of them."""

    def __init__(self, gateway: Running, *, stream: bool, copies: int = COPIES) -> None:
        self.received = {(kind, copy): Received() for kind in KINDS for copy in range(copies)}
        self._tasks = [
            asyncio.create_task(ask(gateway.client, kind, received, stream=stream))
            for (kind, _), received in self.received.items()
        ]

    async def under_way(self, parts: int = 2) -> None:
        """Until most streams have begun."""

        def most_begun() -> bool:
            begun = [received.parts >= parts for received in self.received.values()]
            return sum(begun) > len(begun) / 2

        await eventually_async(most_begun)
        assert not all(task.done() for task in self._tasks)

    async def each_went_on(self, gateway: Running, lost: WorkerProcess) -> None:
        """Until each has a part that another worker generated."""
        tasks = dict(zip(self.received, self._tasks, strict=True))
        await each_went_on(
            gateway, lost, lambda: {key: self.received[key].parts for key in tasks if not tasks[key].done()}
        )
        assert not all(task.done() for task in self._tasks)

    async def ended(self) -> dict[tuple[str, int], Received]:
        await asyncio.gather(*self._tasks)
        return self.received


async def undisturbed(gateway: Running, *, stream: bool) -> dict[str, Received]:
    received = await Traffic(gateway, stream=stream, copies=1).ended()
    return {kind: each for (kind, _), each in received.items()}


def check_all_equal(received: dict[tuple[str, int], Received], expected: dict[str, Received]) -> None:
    for (kind, copy), each in received.items():
        check_equal(each, expected[kind], f"{kind}, {copy}")


@pytest.mark.parametrize("fault", [kill, freeze, stop])
async def test_streams_of_every_kind_go_on_at_the_other_worker(start_worker, start_gateway, fault) -> None:
    workers = [start_worker(), start_worker()]
    gateway: Running = await start_gateway(*workers)
    expected = await undisturbed(gateway, stream=True)
    traffic = Traffic(gateway, stream=True)
    await traffic.under_way()
    fault(busiest(workers))
    check_all_equal(await traffic.ended(), expected)
    reason = "handed_over" if fault is stop else "lost"
    assert await gateway.metric("resumed_seconds_count", model="small", reason=reason) > 0
    assert await gateway.metric("cut_total", model="small") == 0


async def test_streams_that_lose_two_workers_go_on_at_the_third(start_worker, start_gateway) -> None:
    workers = [start_worker() for _ in range(3)]
    gateway: Running = await start_gateway(*workers)
    expected = await undisturbed(gateway, stream=True)
    traffic = Traffic(gateway, stream=True)
    await traffic.under_way()
    kill(first := busiest(workers))
    workers.remove(first)
    await traffic.each_went_on(gateway, first)
    kill(busiest(workers))
    check_all_equal(await traffic.ended(), expected)


@pytest.mark.parametrize("fault", [kill, stop])
async def test_whole_responses_of_every_kind_go_on_at_the_other_worker(start_worker, start_gateway, fault) -> None:
    workers = [start_worker(), start_worker()]
    gateway: Running = await start_gateway(*workers)
    expected = await undisturbed(gateway, stream=False)
    traffic = Traffic(gateway, stream=False)
    await eventually_async(lambda: busiest(workers).gauge("sequences_running") > 0)
    fault(busiest(workers))
    check_all_equal(await traffic.ended(), expected)


async def test_a_worker_that_stops_with_long_streams_is_gone_at_once_and_another_ends_them(
    start_worker, start_gateway
) -> None:
    workers: list[WorkerProcess] = [start_worker(), start_worker()]
    gateway: Running = await start_gateway(*workers)
    received = [Received() for _ in range(8)]
    long = {"long": chat(ignore_eos=True, max_tokens=LONG)}
    tasks = [asyncio.create_task(ask(gateway.client, "long", each, stream=True, kinds=long)) for each in received]
    await eventually_async(lambda: all(each.parts > 2 for each in received))
    stopped = busiest(workers)
    taken = stopped.gauge("sequences_running")
    began = time.monotonic()
    stop(stopped)
    await asyncio.to_thread(stopped.process.wait)
    took = time.monotonic() - began
    assert not any(task.done() for task in tasks)
    await asyncio.gather(*tasks)
    print(f"\ngone with {taken:.0f} streams {took:.2f} s after SIGTERM")
    for each in received:
        tokens = [token for line in re.findall(r"^:t 0 ([\d,]+)", each.text, re.MULTILINE) for token in line.split(",")]
        assert len(tokens) == LONG
        assert '"finish_reason":"length"' in each.text
    assert_floor(took, 3)


async def test_streams_wait_for_the_worker_that_takes_the_only_ones_place(start_worker, start_gateway) -> None:
    worker: WorkerProcess = start_worker("--handover=at-once")
    later: WorkerProcess = start_worker()
    gateway: Running = await start_gateway(worker, later)
    expected = await undisturbed(gateway, stream=True)
    freeze(later)
    await gateway.reaches(1, "endpoints_ready", model="small")
    traffic = Traffic(gateway, stream=True)
    await traffic.under_way()
    stop(worker)
    await asyncio.to_thread(worker.process.wait)
    os.kill(later.process.pid, signal.SIGCONT)
    check_all_equal(await traffic.ended(), expected)


async def test_a_stream_is_never_made_of_two_models(start_worker, start_gateway, tmp_path) -> None:
    from support.models.small import save_small

    worker: WorkerProcess = start_worker()
    other: WorkerProcess = start_worker(model=save_small(tmp_path / "other", seed=1))
    gateway: Running = await start_gateway(worker, other)
    received = [Received() for _ in range(4)]
    tasks = [asyncio.create_task(ask(gateway.client, "greedy", each, stream=True)) for each in received]
    await eventually_async(lambda: all(each.parts for each in received))
    kill(worker)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    cut = [error for error in ended if isinstance(error, AssertionError)]
    assert cut
    assert all("model_changed" in str(error) for error in cut)
