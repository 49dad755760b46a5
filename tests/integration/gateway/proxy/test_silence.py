"""A worker falls silent: what may be why is not sent to another, everything else is."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from support.eventually import eventually_async as eventually

SETTINGS: dict[str, Any] = {"silence_seconds": 0.3, "poll_timeout_seconds": 0.3}


@pytest.fixture
async def pair(start_worker, start_gateway):
    """A gateway, the worker that gets everything, and one that is not ready yet."""
    first, second = await start_worker(), await start_worker(ready_status=503)
    return await start_gateway(first, second, **SETTINGS), first, second


async def becomes_ready(gateway, worker) -> None:
    worker.ready_status = 200
    await gateway.reaches(2, "endpoints_ready", model="m")


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_what_silences_its_worker_is_not_sent_to_another(start_worker, start_gateway) -> None:
    workers = [await start_worker() for _ in range(3)]
    gateway = await start_gateway(*workers, **SETTINGS)
    for worker in workers:
        worker.behaviour = worker.freezes
    assert code_of(await gateway.chat()) == (504, "worker_silent")
    assert sum(len(worker.requests) for worker in workers) == 1
    assert sum(worker.is_frozen for worker in workers) == 1


async def test_a_stream_that_was_held_is_told_so_in_an_event(start_worker, start_gateway) -> None:
    worker = await start_worker(ready_status=503)
    gateway = await start_gateway(worker, comment_seconds=0.1, **SETTINGS)
    worker.behaviour = worker.freezes
    asking = asyncio.create_task(gateway.lines())
    await asyncio.sleep(0.3)
    worker.ready_status = 200
    *_, last = await asking
    assert "worker_silent" in last


async def test_what_its_worker_has_survived_goes_to_another(pair) -> None:
    gateway, first, second = pair
    first.behaviour = first.hangs
    asking = asyncio.create_task(gateway.chat())
    await first.arrived.wait()
    since = time.monotonic()
    await eventually(lambda: first.questions > 0 and time.monotonic() - since > 1)
    questions = first.questions
    await eventually(lambda: first.questions > questions)  # it is asked, and answers, after all that
    await becomes_ready(gateway, second)
    first.is_frozen = True
    assert (await asking).status_code == 200
    assert len(second.requests) == 1


async def test_what_came_when_its_worker_was_silent_already_goes_to_another(pair) -> None:
    gateway, first, second = pair
    first.behaviour = first.freezes
    culprit = asyncio.create_task(gateway.chat())
    await eventually(lambda: first.questions == 2)
    innocent = asyncio.create_task(gateway.chat())
    await eventually(lambda: len(first.requests) == 2)
    second.ready_status = 200
    assert code_of(await culprit) == (504, "worker_silent")
    assert (await innocent).status_code == 200
    assert len(second.requests) == 1


async def test_what_its_worker_no_longer_listens_after_goes_to_another_once(start_worker, start_gateway) -> None:
    workers = [await start_worker() for _ in range(4)]
    gateway = await start_gateway(*workers, poll_seconds=30, **SETTINGS)
    for worker in workers:
        worker.behaviour = worker.stops_listening
    assert code_of(await gateway.chat()) == (502, "workers_failed")
    assert sum(len(worker.requests) for worker in workers) == 2
