"""Gateways: as a process of its own, and in a thread of the test."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from fastchat import demand
from fastchat.demand import Demand
from fastchat_gateway.app import build
from fastchat_gateway.server.server import Server
from fastchat_gateway.settings import Settings
from support.eventually import eventually_async
from support.ports import free_port

CHAT = "/v1/chat/completions"


class GatewayProcess:
    """A gateway process, its address, and what it wrote when it has ended."""

    def __init__(self, *arguments: str, out: int | None = None) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            sys.executable,
            "-m",
            "fastchat_gateway",
            "--host=127.0.0.1",
            f"--port={self.url.rpartition(':')[2]}",
        ]
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115  # closed with the process
        output = self._files[0] if out is None else out
        command += ["--poll-seconds=0.1", *arguments]
        self.popen = subprocess.Popen(command, stdout=output, stderr=self._files[1])

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=60, verify=False, trust_env=False)

    async def ready(self) -> "GatewayProcess":
        async with self.client() as client:

            async def is_ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/ready")).status_code == 200
                return self.popen.poll() is not None

            await eventually_async(is_ready)
        if self.popen.poll() is not None:
            await self.ended()
            raise AssertionError(self.err.decode())
        return self

    async def stop(self, sig: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Exit status and the seconds it took."""
        started = time.monotonic()
        self.popen.send_signal(sig)
        return await self.ended(), time.monotonic() - started

    async def ended(self) -> int:
        await asyncio.wait_for(asyncio.to_thread(self.popen.wait), 60)
        for file in self._files:
            file.seek(0)
        self.out, self.err = [file.read() for file in self._files]
        return self.popen.returncode


@dataclass
class Running:
    """A gateway and a client of it."""

    url: str
    client: httpx.AsyncClient
    server: Server

    async def chat(self, path: str = CHAT, **fields: Any) -> httpx.Response:
        return await self.client.post(path, json={"model": "m", **fields})

    async def lines(self, **fields: Any) -> list[str]:
        """A stream's lines that are not empty."""
        async with self.client.stream("POST", CHAT, json={"model": "m", "stream": True, **fields}) as answer:
            assert answer.headers["content-type"] == "text/event-stream", await answer.aread()
            return [line async for line in answer.aiter_lines() if line]

    async def metric(self, name: str, **labels: str) -> float:
        """A value of /metrics; 0 where there is none."""
        text = (await self.client.get("/metrics")).text
        for line in text.splitlines():
            key, _, value = line.rpartition(" ")
            family = key.partition("{")[0].removeprefix("fastchat_gateway_")
            if family == name and all(f'{k}="{v}"' in key for k, v in labels.items()):
                return float(value)
        return 0.0

    async def demand(self, model: str, token: bytes) -> Demand:
        """What it tells of a model now."""
        headers = {"Authorization": f"Bearer {token.decode()}"}
        async with self.client.stream("GET", demand.PATH, headers=headers) as answer:
            line = await anext(answer.aiter_lines())
        return demand.decode(line.encode())[model]

    async def reaches(self, value: float, name: str, **labels: str) -> None:
        """Returns when a value of /metrics is this one."""

        async def is_there() -> bool:
            return await self.metric(name, **labels) == value

        await eventually_async(is_there)


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[str, Server]]:
    """A gateway in a thread, by its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = build(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        await eventually_async(lambda: server.started)
        yield url, server
    finally:
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.to_thread(thread.join, 60)
        assert not thread.is_alive()
