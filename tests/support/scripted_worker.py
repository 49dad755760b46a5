"""A worker on a real socket that does with a request what a test tells it to."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[["Connection"], Awaitable[None]]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """A request as the worker got it, and the means to answer."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", "content-length": str(len(data))}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data)

    def start_stream(self) -> None:
        self.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    def reset(self) -> None:
        """As the kernel of a killed process does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Returns when the gateway has closed the connection."""
        with contextlib.suppress(ConnectionError):
            assert await self.reader.read() == b""


@dataclass
class Worker:
    """A worker whose behaviour towards inference requests is a test's to choose."""

    behaviour: Behaviour | None = None
    cards: list[dict[str, Any]] = field(default_factory=lambda: [{"id": "m", "task": "Generate", "max_model_len": 64}])
    ready_status: int = 200
    ready_body: Any = None
    health_status: int = 200
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    is_frozen: bool = False
    """It answers no request and no question whether it lives, but takes connections; readiness is seen elsewhere."""
    questions: int = 0
    """How often it was asked whether it lives."""
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> "Worker":
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def kill(self) -> None:
        """Every connection is reset and no new one accepted."""
        self._server.close()
        for writer in list(self._connections):
            with contextlib.suppress(OSError):
                Connection(Request("", "", {}, b""), asyncio.StreamReader(), writer).reset()
        await self._server.wait_closed()

    # What a worker may do with a request.

    @staticmethod
    def says(status: int = 200, body: Any = None, **headers: str) -> Behaviour:
        async def behaviour(connection: Connection) -> None:
            connection.answer(status, {"answer": "hello"} if body is None else body, **headers)

        return behaviour

    @staticmethod
    def streams(*events: str, then: Behaviour | None = None) -> Behaviour:
        """Sends the events, then ends the stream well or does something else."""

        async def behaviour(connection: Connection) -> None:
            connection.start_stream()
            for event in events:
                await connection.chunk(event.encode())
            if then is None:
                connection.writer.write(b"0\r\n\r\n")
            else:
                await asyncio.sleep(0.05)
                await then(connection)

        return behaviour

    @staticmethod
    def waits_for(event: asyncio.Event, then: Behaviour) -> Behaviour:
        async def behaviour(connection: Connection) -> None:
            await event.wait()
            await then(connection)

        return behaviour

    @staticmethod
    async def resets(connection: Connection) -> None:
        connection.reset()

    @staticmethod
    async def closes(connection: Connection) -> None:
        """As the kernel does when the process dies with nothing unread."""
        await connection.writer.drain()
        connection.writer.close()

    async def freezes(self, connection: Connection) -> None:
        """As a process that is stopped, or whose event loop is held: nobody hears from it any more."""
        self.is_frozen = True
        await connection.gone()

    async def stops_listening(self, connection: Connection) -> None:
        """As a machine that has lost its process without a word."""
        self._server.close()
        await self.freezes(connection)

    async def hangs(self, connection: Connection) -> None:
        """Never answers; sets `left` when the gateway goes away."""
        await connection.gone()
        self.left.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while request := await self._read(reader):
                await self._respond(Connection(request, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        method, path, _ = first.split(" ")
        return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))

    async def _respond(self, connection: Connection) -> None:
        request = connection.request
        if request.path == "/v1/models":
            connection.answer(200, {"object": "list", "data": self.cards})
        elif request.path == "/ready":
            connection.answer(self.ready_status, self.ready_body)
        elif request.path == "/health":
            self.questions += 1
            await (self.freezes if self.is_frozen else self.says(self.health_status))(connection)
        else:
            self.requests.append(request)
            self.arrived.set()
            await (self.freezes if self.is_frozen else self.behaviour or self.says())(connection)
