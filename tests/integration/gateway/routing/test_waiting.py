"""No worker is ready."""

import asyncio
import json
import time

import pytest
from support.eventually import eventually_async as eventually

from fastchat_gateway.routing.catalog import QueueLimits

CHAT = "/v1/chat/completions"


async def held(gateway, count: int) -> None:
    """Returns when so many requests are held."""
    await gateway.reaches(count, "requests_held", model="m")


@pytest.fixture
async def loading(start_worker):
    """A worker that still loads its model."""
    return await start_worker(ready_status=503)


async def test_a_request_waits_until_the_worker_is_ready(start_gateway, loading) -> None:
    gateway = await start_gateway(loading)
    waiting = asyncio.create_task(gateway.chat())
    await held(gateway, 1)
    assert loading.requests == []
    loading.ready_status = 200
    assert (await waiting).status_code == 200
    await held(gateway, 0)


async def test_an_engine_without_ready_is_ready_when_it_is_healthy(start_gateway, start_worker) -> None:
    engine = await start_worker(ready_status=404, health_status=503)
    gateway = await start_gateway(engine)
    waiting = asyncio.create_task(gateway.chat())
    await held(gateway, 1)
    engine.health_status = 200
    assert (await waiting).status_code == 200


async def test_released_requests_spread_over_the_workers(start_gateway, start_worker) -> None:
    workers = [await start_worker(ready_status=503) for _ in range(2)]
    gateway = await start_gateway(*workers)
    all_there = asyncio.Event()
    for worker in workers:
        worker.behaviour = worker.waits_for(all_there, worker.says())
    waiting = [asyncio.create_task(gateway.chat()) for _ in range(8)]
    await held(gateway, 8)
    for worker in workers:
        worker.ready_status = 200
    await held(gateway, 0)
    more = [asyncio.create_task(gateway.chat()) for _ in range(8)]
    await eventually(lambda: sum(len(worker.requests) for worker in workers) == 16)
    assert [len(worker.requests) for worker in workers] == [8, 8]
    all_there.set()
    await asyncio.gather(*waiting, *more)


async def test_a_full_queue_refuses_with_429(start_gateway, loading) -> None:
    gateway = await start_gateway(loading, queue=QueueLimits(max_requests=1))
    first = asyncio.create_task(gateway.chat())
    await held(gateway, 1)
    answer = await gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) > 0
    loading.ready_status = 200
    assert (await first).status_code == 200


async def test_after_the_deadline_a_request_is_refused_with_503(start_gateway, loading) -> None:
    gateway = await start_gateway(loading, queue=QueueLimits(timeout_seconds=0.2))
    started = time.monotonic()
    answer = await gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_worker")
    assert int(answer.headers["retry-after"]) > 0
    assert time.monotonic() - started >= 0.2


async def test_a_client_that_leaves_leaves_the_queue(start_gateway, loading) -> None:
    gateway = await start_gateway(loading)
    waiting = asyncio.create_task(gateway.chat())
    await held(gateway, 1)
    waiting.cancel()
    await held(gateway, 0)


async def test_a_waiting_stream_gets_comments_and_then_the_answer(start_gateway, loading) -> None:
    gateway = await start_gateway(loading, comment_seconds=0.1)
    loading.behaviour = loading.streams("data: one\n\n", "data: [DONE]\n\n")
    lines: list[str] = []
    async with gateway.client.stream("POST", CHAT, json={"model": "m", "stream": True}) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        async for line in answer.aiter_lines():
            lines += [line] if line else []
            if len(lines) == 2:
                loading.ready_status = 200
    comments = lines[:-2]
    assert len(comments) >= 2
    assert set(comments) == {": waiting for a worker"}
    assert lines[-2:] == ["data: one", "data: [DONE]"]


async def test_a_stream_that_does_not_wait_long_gets_no_comment_and_its_true_status(start_gateway, loading) -> None:
    gateway = await start_gateway(loading, queue=QueueLimits(timeout_seconds=0.2), comment_seconds=5)
    assert (await gateway.chat(stream=True)).status_code == 503


async def test_a_waiting_stream_ends_with_an_error_event_at_its_deadline(start_gateway, loading) -> None:
    gateway = await start_gateway(loading, queue=QueueLimits(timeout_seconds=0.3), comment_seconds=0.1)
    *_, last = await gateway.lines()
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "no_worker"


async def test_a_refusal_after_a_wait_reaches_a_stream_as_an_event(start_gateway, loading) -> None:
    gateway = await start_gateway(loading, comment_seconds=0.1)
    loading.behaviour = loading.says(400, {"error": {"message": "too long", "param": "messages"}})
    waiting = asyncio.create_task(gateway.lines())
    await held(gateway, 1)
    await asyncio.sleep(0.25)
    loading.ready_status = 200
    *_, last = await waiting
    assert last.startswith("data: ")
    assert json.loads(last.removeprefix("data: "))["error"]["param"] == "messages"


async def test_a_request_that_does_not_stream_gets_no_comment(start_gateway, loading) -> None:
    gateway = await start_gateway(loading, comment_seconds=0.05)
    waiting = asyncio.create_task(gateway.chat())
    await asyncio.sleep(0.3)
    loading.ready_status = 200
    assert (await waiting).content == b'{"answer": "hello"}'
