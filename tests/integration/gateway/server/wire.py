"""Connections to a gateway whose every byte a test chooses, and requests written out for them."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import httptools
import psutil
from support.gateways import GatewayProcess

CHAT = "/v1/chat/completions"
LINE = b"POST /v1/chat/completions HTTP/1.1"
BODY = b'{"model":"m"}'
SIZED = b"content-length: 13"
CHUNKED = b"transfer-encoding: chunked"
CHUNKS = b"d\r\n" + BODY + b"\r\n0\r\n\r\n"


def post(*headers: bytes, line: bytes = LINE, host: bytes = b"host: x", body: bytes = BODY) -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *headers, b"", b""]) + body


HIDDEN = post(SIZED)
"""A request that a server finds where it misjudges the end of the one before."""


@dataclass
class Caller:
    """A connection whose every byte a test chooses."""

    sock: socket.socket

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # closed in the middle of it: there is an answer to read
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self.sock, 2**16)
        except ConnectionError:
            return b""

    async def until(self, mark: bytes) -> bytes:
        """What comes, up to a part that contains the mark."""
        got = b""
        async with asyncio.timeout(60):
            while mark not in got and (part := await self.receive()):
                got += part
        assert mark in got
        return got

    async def rest(self, seconds: float = 60) -> bytes:
        """What comes until the gateway closes the connection, which it must."""
        got = b""
        async with asyncio.timeout(seconds):
            while part := await self.receive():
                got += part
        return got


Dial = Callable[[str], Caller]


def memory_mib(process: GatewayProcess) -> float:
    return float(psutil.Process(process.popen.pid).memory_info().rss) / 2**20


def statuses(answers: bytes) -> list[int]:
    """A mark that is in no body here."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def refusal_of(answers: bytes) -> int:
    """The status of the only answer, whose body has OpenAI's shape."""
    (status,) = statuses(answers)
    head, _, body = answers.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head.lower()
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    return status


def body_of(answer: bytes) -> bytes:
    """Without head and chunks."""
    parts: list[bytes] = []
    httptools.HttpResponseParser(SimpleNamespace(on_body=parts.append)).feed_data(answer)
    return b"".join(parts)


def sized(value: bytes) -> bytes:
    return post(b"content-length: " + value)


def coded(value: bytes) -> bytes:
    return post(b"transfer-encoding: " + value, body=CHUNKS)


def in_chunks(chunks: bytes) -> bytes:
    return post(CHUNKED, body=chunks)
