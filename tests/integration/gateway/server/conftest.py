"""Callers of a gateway, which choose every byte, and a gateway in a process of its own."""

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from integration.gateway.server.wire import Caller, Dial
from support.gateways import GatewayProcess


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connects to a gateway by its URL."""
    with contextlib.ExitStack() as stack:

        def connect(url: str) -> Caller:
            host, _, port = url.removeprefix("http://").partition(":")
            sock = stack.enter_context(socket.create_connection((host, int(port))))
            sock.setblocking(False)
            return Caller(sock)

        yield connect


@pytest.fixture
async def alone(worker) -> AsyncIterator[GatewayProcess]:
    """A gateway in a process of its own, so that its memory can be looked at."""
    process = GatewayProcess("--worker", worker.url, "--no-access-log", "--open-metrics", "--max-connections=20000")
    yield await process.ready()
    process.popen.kill()
    process.popen.wait()
