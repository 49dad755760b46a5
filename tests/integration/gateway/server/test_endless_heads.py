"""Heads without end."""

import asyncio

import pytest
from integration.gateway.server.wire import (
    CHUNKS,
    LINE,
    SIZED,
    in_chunks,
    memory_mib,
    post,
    refusal_of,
    statuses,
)

ENDLESS = {
    "one header": post(SIZED, b"x: " + b"a" * 2**20),
    "one header that never ends": post(SIZED, b"x: ", body=b"")[:-4] + b"a" * 2**20,
    "many headers": post(SIZED, *[b"x-%d: aaaaaaaaaaaaaaaa" % n for n in range(40_000)]),
    "many empty headers": post(SIZED, *[b"x:"] * 250_000),
    "a name": post(SIZED, b"x" * 2**20 + b": a"),
    "a path": post(SIZED, line=LINE.replace(b"/v1", b"/" + b"a" * 2**20)),
    "a query": post(SIZED, line=LINE.replace(b" HTTP", b"?" + b"a" * 2**20 + b" HTTP")),
    "a method": b"A" * 2**20,
    "trailers": in_chunks(CHUNKS[:-2] + b"x: aaaaaaaaaaaaaaaa\r\n" * 50_000),
    "a chunk's extension": in_chunks(b"d;" + b"x" * 2**20),
    "chunks' extensions": in_chunks((b"1;" + b"x" * 1000 + b"\r\n \r\n") * 1000),
    "empty lines": b"\r\n" * 2**19,
}


@pytest.mark.parametrize("request_", ENDLESS.values(), ids=ENDLESS)
async def test_a_megabyte_before_the_body_is_refused(gateway, worker, dial, request_) -> None:
    caller = dial(gateway.url)
    await caller.send(request_)
    assert refusal_of(await caller.rest()) in {400, 413, 414, 431}
    assert worker.requests == []
    assert (await gateway.chat()).status_code == 200


async def test_headers_of_64_kibibytes_are_431_and_those_of_60_are_served(gateway, dial) -> None:
    for size, expected in ((60, 200), (65, 431)):
        caller = dial(gateway.url)
        await caller.send(post(SIZED, b"connection: close", b"x: " + b"a" * size * 1024))
        assert statuses(await caller.rest()) == [expected]


async def test_heads_without_end_do_not_fill_the_memory(alone, dial) -> None:
    before = memory_mib(alone)
    callers = [dial(alone.url) for _ in range(100)]
    await asyncio.gather(*[caller.send(ENDLESS["one header that never ends"]) for caller in callers])
    await asyncio.gather(*[caller.rest() for caller in callers])
    assert memory_mib(alone) - before < 50
