"""More connections than there can be."""

import asyncio
import contextlib
import os
import re
import resource
from collections.abc import Iterator

import psutil
from integration.gateway.server.wire import (
    CHAT,
    HIDDEN,
    LINE,
    SIZED,
    post,
    refusal_of,
    statuses,
)
from support.eventually import eventually_async as eventually
from support.gateways import GatewayProcess


async def test_connections_have_a_limit_and_unfinished_heads_count(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, max_connections=3)
    waiting = [dial(gateway.url) for _ in range(3)]
    await waiting[0].send(LINE)
    await waiting[1].send(post(SIZED))
    await waiting[1].until(b'{"answer": "hello"}')
    surplus = dial(gateway.url)
    await surplus.send(HIDDEN)
    refused = await surplus.rest()
    assert refusal_of(refused) == 503
    assert b'"code":"overloaded"' in refused
    assert len(worker.requests) == 1
    await waiting[1].send(post(SIZED, b"connection: close"))
    assert statuses(await waiting[1].rest()) == [200]
    waiting[1].sock.close()
    await eventually(lambda: len(gateway.server.gateway.connections) <= 2)
    late = dial(gateway.url)
    await late.send(HIDDEN)
    await late.until(b'{"answer": "hello"}')


async def test_probes_are_answered_beyond_the_limit_so_that_nobody_restarts_the_gateway(
    start_gateway, worker, dial
) -> None:
    gateway = await start_gateway(worker, max_connections=1)
    dial(gateway.url)
    for path in (b"/health", b"/ready"):
        kubelet = dial(gateway.url)
        await kubelet.send(post(line=b"GET " + path + b" HTTP/1.1", body=b""))
        assert statuses(await kubelet.rest()) == [200]


async def test_far_too_many_connections_are_closed_without_a_word(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, max_connections=1)
    callers = [dial(gateway.url) for _ in range(100)]
    ends = await asyncio.gather(*[asyncio.wait_for(caller.receive(), 60) for caller in callers[-20:]])
    assert ends == [b""] * 20


@contextlib.contextmanager
def no_more_files(process: GatewayProcess) -> Iterator[None]:
    """The process can open nothing more."""
    pid = process.popen.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(taken) + 1)) - taken), hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_lack_of_descriptors_is_503_and_never_a_workers_failure(alone, worker, dial) -> None:
    async with alone.client() as client:
        assert (await client.get("/health")).status_code == 200
        with no_more_files(alone):
            for _ in range(5):
                answer = await client.post(CHAT, json={"model": "m"})
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
            await asyncio.sleep(0.5)  # discovery looks ten times a second
            metrics = (await client.get("/metrics")).text
            assert 'fastchat_gateway_endpoints_ready{model="m"} 1.0' in metrics
        assert (await client.post(CHAT, json={"model": "m"})).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert not re.search(r"(retries|ejections)_total{[^}]*} [1-9]", metrics)
    assert len(worker.requests) == 1


async def test_connections_that_cannot_be_accepted_cost_the_gateway_nothing(alone, dial) -> None:
    async with alone.client() as client:
        assert (await client.get("/health")).status_code == 200
        process = psutil.Process(alone.popen.pid)
        with no_more_files(alone):
            callers = [dial(alone.url) for _ in range(20)]
            before = sum(process.cpu_times()[:2])
            await asyncio.sleep(1)
            assert sum(process.cpu_times()[:2]) - before < 0.5
            assert (await client.get("/health")).status_code == 200
        assert len(callers) == 20
    late = dial(alone.url)
    await late.send(HIDDEN)
    await late.until(b'{"answer": "hello"}')
