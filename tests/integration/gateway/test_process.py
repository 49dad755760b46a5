"""The gateway as a process: start, stop, log, and workers that are killed."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from support.eventually import eventually
from support.gateways import GatewayProcess
from support.ports import free_port, listens

ROOT = Path(__file__).parents[3]
CHAT = "/v1/chat/completions"


@pytest.fixture
async def launch() -> AsyncIterator[Any]:
    processes: list[GatewayProcess] = []

    async def start(*arguments: str, out: int | None = None) -> GatewayProcess:
        processes.append(GatewayProcess(*arguments, out=out))
        return await processes[-1].ready()

    yield start
    for process in processes:
        process.popen.kill()
        process.popen.wait()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_gateway_stops_at_once_and_in_good_order(launch, worker, sig) -> None:
    gateway = await launch("--worker", worker.url, "--grace-period-seconds=600")
    async with gateway.client() as client:
        await client.post(CHAT, json={"model": "m"})  # leaves an idle connection at each side
        status, _ = await gateway.stop(sig)
    assert status == 0
    assert b"Traceback" not in gateway.err


async def test_a_stream_in_flight_is_finished_and_new_requests_are_turned_away(launch, worker) -> None:
    gateway = await launch("--worker", worker.url)
    go_on = asyncio.Event()

    async def ends(connection) -> None:
        await go_on.wait()
        await connection.chunk(b"data: [DONE]\n\n")
        connection.writer.write(b"0\r\n\r\n")

    worker.behaviour = worker.streams("data: one\n\n", then=ends)
    async with gateway.client() as client:
        asked = {"model": "m", "stream": True}
        async with client.stream("POST", CHAT, json=asked) as answer:
            parts = answer.aiter_raw()
            assert await anext(parts) == b"data: one\n\n"
            stopping = asyncio.create_task(gateway.stop())
            await asyncio.sleep(0.3)
            refused = await client.post(CHAT, json={"model": "m"})
            assert (refused.status_code, refused.headers["connection"]) == (503, "close")
            assert refused.json()["error"]["code"] == "shutting_down"
            assert int(refused.headers["retry-after"]) > 0
            assert (await client.get("/ready")).status_code == 503
            assert (await client.get("/health")).status_code == 200
            go_on.set()
            assert [part async for part in parts] == [b"data: [DONE]\n\n"]
    assert (await stopping)[0] == 0
    assert len(worker.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_what_outlasts_the_grace_period_is_told_so(launch, worker, stream) -> None:
    gateway = await launch("--worker", worker.url, "--grace-period-seconds=0.5")
    worker.behaviour = worker.streams("data: one\n\n", then=worker.hangs) if stream else worker.hangs
    async with gateway.client() as client:
        asking = asyncio.create_task(client.post(CHAT, json={"model": "m", "stream": stream}))
        await worker.arrived.wait()
        await asyncio.sleep(0.2)
        status, seconds = await gateway.stop()
        answer = await asking
    assert status == 0
    assert seconds >= 0.5
    assert answer.status_code == (200 if stream else 503)
    last = answer.text.strip().rpartition("data: ")[2]
    assert json.loads(last)["error"]["code"] == "shutting_down"
    await asyncio.wait_for(worker.left.wait(), 60)


async def test_a_second_ctrl_c_does_not_wait(launch, worker) -> None:
    gateway = await launch("--worker", worker.url, "--grace-period-seconds=600")
    worker.behaviour = worker.hangs
    async with gateway.client() as client:
        asking = asyncio.create_task(client.post(CHAT, json={"model": "m"}))
        await worker.arrived.wait()
        gateway.popen.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
        assert gateway.popen.poll() is None
        await gateway.stop(signal.SIGINT)
        with contextlib.suppress(httpx.TransportError):
            await asking


async def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = GatewayProcess("--worker=http://127.0.0.1:9", f"--port={port}")
        assert await gateway.ended() == 1
    assert gateway.err.decode() == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"


async def test_a_wrong_argument_is_said_without_a_traceback() -> None:
    gateway = GatewayProcess("--worker=nonsense")
    assert await gateway.ended() == 2
    assert "not a worker's URL: 'nonsense'" in gateway.err.decode().splitlines()[-1]


async def test_the_access_log_has_a_json_line_per_request_and_no_prompt(launch, worker) -> None:
    gateway = await launch("--worker", worker.url, "--alias=gpt=m")
    async with gateway.client() as client:
        body = {"model": "gpt", "messages": [{"role": "user", "content": "secret"}]}
        await client.post(CHAT, json=body, headers={"x-request-id": "abc"})
        await client.get("/nothing")
    await gateway.stop()
    chat, nothing = [json.loads(line) for line in gateway.out.splitlines()]
    assert b"secret" not in gateway.out + gateway.err
    assert 0 < chat.pop("ttfb_ms") <= chat.pop("duration_ms") < 60_000
    assert chat.pop("time").endswith("+00:00")
    assert chat == {
        "request_id": "abc",
        "method": "POST",
        "path": CHAT,
        "model": "m",
        "key": "",
        "endpoint": worker.url,
        "status": 200,
        "outcome": "ok",
        "bytes": 19,
    }
    assert (nothing["status"], nothing["outcome"]) == (404, "client_error")


async def test_the_access_log_can_be_turned_off(launch, worker) -> None:
    gateway = await launch("--worker", worker.url, "--no-access-log")
    async with gateway.client() as client:
        await client.post(CHAT, json={"model": "m"})
    await gateway.stop()
    assert gateway.out == b""


async def test_a_log_that_nobody_reads_does_not_stop_the_gateway(launch, worker) -> None:
    gateway = await launch("--worker", worker.url, out=subprocess.PIPE)
    async with gateway.client() as client:
        for _ in range(400):
            answer = await client.post(CHAT, json={"model": "m"}, headers={"x-request-id": "x" * 128})
            assert answer.status_code == 200
    assert (await gateway.stop())[0] == 0
    lines = gateway.popen.stdout.read().splitlines()
    assert 100 < len(lines) < 400
    assert all(json.loads(line)["status"] == 200 for line in lines)


@pytest.fixture
def simulators() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers in processes of their own, by their `port`."""
    processes = [simulator(free_port()) for _ in range(2)]
    for process in processes:
        eventually(lambda process=process: listens(int(str(process.args))))
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def simulator(port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "benchmarks/simulator.py"), str(port), "--delay=0.05"]
    process = subprocess.Popen(command)
    process.args = str(port)
    return process


async def test_what_a_frozen_worker_gets_is_not_sent_to_another_and_it_gets_no_more(start_gateway, simulators) -> None:
    urls = [f"http://127.0.0.1:{process.args}" for process in simulators]
    workers = [SimpleNamespace(url=url) for url in urls]
    gateway = await start_gateway(*workers, silence_seconds=0.3, poll_timeout_seconds=0.3, poll_seconds=60)
    frozen = simulators[0]
    frozen.send_signal(signal.SIGSTOP)
    try:
        answers = [await asyncio.gather(*[gateway.chat(model="sim") for _ in range(8)]) for _ in range(2)]
    finally:
        frozen.send_signal(signal.SIGCONT)
    first, second = [[answer.status_code for answer in some] for some in answers]
    assert set(first) == {200, 504}
    assert set(second) == {200}


async def test_a_worker_that_thinks_for_long_but_lives_is_left_to_it(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, silence_seconds=1, poll_timeout_seconds=1, poll_seconds=60)
    go_on = asyncio.Event()
    worker.behaviour = worker.waits_for(go_on, worker.says())
    asking = asyncio.create_task(gateway.chat())
    await asyncio.sleep(4)
    go_on.set()
    assert (await asking).status_code == 200
    assert len(worker.requests) == 1


async def test_no_client_sees_that_one_of_two_workers_is_killed_and_comes_back(launch, simulators) -> None:
    ports = [str(process.args) for process in simulators]
    gateway = await launch(*[f"--worker=http://127.0.0.1:{port}" for port in ports])
    statuses: list[int] = []
    over = asyncio.Event()

    async def ask() -> None:
        while not over.is_set():
            statuses.append((await client.post(CHAT, json={"model": "sim"})).status_code)

    async with gateway.client() as client:
        clients = [asyncio.create_task(ask()) for _ in range(16)]
        await asyncio.sleep(0.5)
        os.kill(simulators[0].pid, signal.SIGKILL)
        await asyncio.sleep(1)
        simulators.append(simulator(int(ports[0])))
        await asyncio.sleep(1.5)
        over.set()
        await asyncio.gather(*clients)
    assert len(statuses) > 100
    assert set(statuses) == {200}
    await gateway.stop()
    last = [json.loads(line)["endpoint"] for line in gateway.out.splitlines()[-20:]]
    assert set(last) == {f"http://127.0.0.1:{port}" for port in ports}
