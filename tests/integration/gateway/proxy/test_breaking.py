"""Somebody goes away in the middle."""

import asyncio
import json

import httpx
import pytest

CHAT = "/v1/chat/completions"


async def test_a_worker_that_dies_in_a_stream_leaves_one_error_event_and_no_done(gateway, worker) -> None:
    worker.behaviour = worker.streams("data: one\n\n", "data: two\n\n", then=worker.closes)
    *events, last = await gateway.lines()
    assert events == ["data: one", "data: two"]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "worker_lost"
    assert await gateway.metric("requests_total", model="m", outcome="broken") == 1


async def test_half_an_event_of_a_dead_worker_does_not_spoil_the_error(gateway, worker) -> None:
    worker.behaviour = worker.streams("data: one\n\n", 'data: {"cho', then=worker.closes)
    first, last = await gateway.lines()
    assert first == "data: one"
    assert "error" in json.loads(last.removeprefix("data: "))


async def test_a_large_answer_that_breaks_off_is_seen_to_be_broken(gateway, worker) -> None:
    async def dies(connection) -> None:
        connection.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000000\r\n\r\n")
        connection.writer.write(b"x" * 3_000_000)
        await worker.closes(connection)

    worker.behaviour = dies
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.chat()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_answer_stops_the_worker(gateway, worker, stream) -> None:
    worker.behaviour = worker.hangs
    waiting = asyncio.create_task(gateway.chat(stream=stream))
    await worker.arrived.wait()
    waiting.cancel()
    await asyncio.wait_for(worker.left.wait(), 60)
    assert await gateway.metric("requests_total", model="m", outcome="client_gone", status="499") == 1
    assert await gateway.metric("requests_in_flight", model="m") == 0


async def test_a_client_that_leaves_a_stream_stops_the_worker(gateway, worker) -> None:
    worker.behaviour = worker.streams("data: one\n\n", then=worker.hangs)
    async with gateway.client.stream("POST", CHAT, json={"model": "m", "stream": True}) as answer:
        await anext(answer.aiter_raw())
    await asyncio.wait_for(worker.left.wait(), 60)
    assert await gateway.metric("requests_total", model="m", outcome="client_gone", status="200") == 1


async def test_a_client_that_leaves_in_the_middle_of_its_request_disturbs_nobody(gateway, worker) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
    await writer.drain()
    writer.close()
    assert (await gateway.chat()).status_code == 200
    assert len(worker.requests) == 1
