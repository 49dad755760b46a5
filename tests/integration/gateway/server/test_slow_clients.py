"""Clients that take their time, over a head, a body or an answer."""

import asyncio
import re
import resource
import socket
from collections.abc import Iterator

import pytest
from integration.gateway.server.wire import (
    BODY,
    CHAT,
    LINE,
    SIZED,
    body_of,
    in_chunks,
    memory_mib,
    post,
    refusal_of,
)
from support.eventually import eventually_async as eventually


async def test_a_head_that_comes_byte_by_byte_is_given_up_in_time(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, header_timeout_seconds=0.5)
    caller = dial(gateway.url)

    async def trickle() -> None:
        await caller.send(LINE + b"\r\nx: ")
        while True:
            await caller.send(b"a")
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    assert refusal_of(await caller.rest()) == 408
    trickling.cancel()
    assert (await gateway.chat()).status_code == 200


async def test_the_time_for_a_head_begins_again_with_each_request(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, header_timeout_seconds=0.3)
    caller = dial(gateway.url)
    for _ in range(3):
        await caller.send(post(SIZED))
        await caller.until(b'{"answer": "hello"}')
        await asyncio.sleep(0.4)
    await caller.send(LINE)
    assert refusal_of(await caller.rest()) == 408


async def test_a_long_answer_is_not_cut_for_want_of_another_request(start_gateway, worker, dial) -> None:
    async def late(connection) -> None:
        await asyncio.sleep(0.8)
        connection.answer(200, {"answer": "late"})

    gateway = await start_gateway(worker, header_timeout_seconds=0.2, client_timeout_seconds=0.2)
    worker.behaviour = late
    caller = dial(gateway.url)
    await caller.send(post(SIZED))
    await caller.until(b'{"answer": "late"}')


async def test_a_body_that_comes_slowly_but_comes_is_served(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, header_timeout_seconds=0.3, client_timeout_seconds=2)
    caller = dial(gateway.url)
    await caller.send(post(SIZED, body=b""))
    for byte in BODY:  # for longer than the gateway waits for nothing at all
        await asyncio.sleep(0.2)
        await caller.send(bytes([byte]))
    await caller.until(b'{"answer": "hello"}')
    assert worker.requests[0].body == BODY


@pytest.mark.parametrize(
    "request_",
    [post(SIZED, body=b"{"), in_chunks(b"d\r\n{"), in_chunks(b"")],
    ids=["in a body", "in a chunk", "before a chunk"],
)
async def test_a_body_that_does_not_come_is_given_up_in_time(start_gateway, worker, dial, request_) -> None:
    gateway = await start_gateway(worker, client_timeout_seconds=0.5)
    caller = dial(gateway.url)
    await caller.send(request_)
    assert refusal_of(await caller.rest()) == 408
    assert worker.requests == []


async def test_a_client_that_does_not_read_is_cut_and_its_worker_freed(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, client_timeout_seconds=0.5)
    worker.behaviour = floods(worker)
    caller = dial(gateway.url)
    await caller.send(post(b"content-length: 27", body=b'{"model":"m","stream":true}'))
    await asyncio.wait_for(worker.left.wait(), 60)
    assert await gateway.metric("requests_in_flight", model="m") == 0


async def test_a_client_that_reads_slowly_but_reads_gets_every_byte(start_gateway, worker, dial) -> None:
    async def numbers(connection) -> None:
        connection.start_stream()
        for number in range(400):
            await connection.chunk(b"data: %d %08000d\n\n" % (number, 0))
        connection.writer.write(b"0\r\n\r\n")

    gateway = await start_gateway(worker, client_timeout_seconds=1)
    worker.behaviour = numbers
    caller = dial(gateway.url)
    caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
    await caller.send(post(b"content-length: 27", body=b'{"model":"m","stream":true}'))
    got = b""
    while not got.endswith(b"0\r\n\r\n") and (part := await asyncio.wait_for(caller.receive(), 60)):
        got += part
        await asyncio.sleep(0.01)
    assert [int(number) for number in re.findall(rb"data: (\d+) ", body_of(got))] == list(range(400))


async def test_clients_that_do_not_read_do_not_fill_the_memory(alone, worker, dial) -> None:
    worker.behaviour = floods(worker)
    before = memory_mib(alone)
    for _ in range(50):
        await dial(alone.url).send(post(b"content-length: 27", body=b'{"model":"m","stream":true}'))
    await eventually(lambda: len(worker.requests) == 50)
    await asyncio.sleep(2)
    assert memory_mib(alone) - before < 50
    worker.behaviour = None
    async with alone.client() as client:
        assert (await client.post(CHAT, json={"model": "m"})).status_code == 200


def floods(worker):
    """64 MiB as fast as they are taken; sets `left` when they are taken no more."""

    async def behaviour(connection) -> None:
        connection.start_stream()
        try:
            for _ in range(1024):
                await connection.chunk(b"x" * 2**16)
        except ConnectionError:
            worker.left.set()
            raise

    return behaviour


async def test_ten_thousand_idle_connections_keep_nobody_from_being_served(many_files, alone, dial) -> None:
    before = memory_mib(alone)
    callers = [dial(alone.url) for _ in range(10_000)]
    async with alone.client() as client:
        for _ in range(20):
            assert (await client.post(CHAT, json={"model": "m"})).status_code == 200
    assert memory_mib(alone) - before < 200
    await callers[-1].send(post(SIZED))
    await callers[-1].until(b'{"answer": "hello"}')


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as this process may have; processes that it starts inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 10_500:
        pytest.skip(f"not more than {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
