"""Clients of a model, in a closed or an open loop. Prints one JSON line.

python benchmarks/load.py URL [--clients 32 | --rate 200] [--seconds 5] [--stream] [--body 200] [--key KEY]

Closed: each client sends its next request when it has the last answer. Open: requests are sent at a fixed rate whatever
becomes of those before, each over a connection that is free or a new one.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

_PATIENCE_SECONDS = 10


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answered: Callable[[int, bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def ask(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        """`answered` gets the status and the last part of the body; 0 and nothing if the connection is lost."""
        self._answered = answered
        self._tail = b""
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._tail = body

    def on_message_complete(self) -> None:
        self._end(self._parser.get_status_code(), self._tail)

    def connection_lost(self, _: Exception | None) -> None:
        self._end(0, b"")

    def _end(self, status: int, tail: bytes) -> None:
        answered, self._answered = self._answered, None
        if answered:
            answered(status, tail)


@dataclass
class Answers:
    """What came back."""

    ending: bytes
    seconds: list[float] = field(default_factory=list)
    failures: int = 0

    def add(self, started: float, status: int, tail: bytes) -> None:
        if status == 200 and tail.endswith(self.ending):
            self.seconds.append(time.perf_counter() - started)
        else:
            self.failures += 1

    def milliseconds(self, share: float) -> float:
        took = sorted(self.seconds) or [0.0]
        return took[int((len(took) - 1) * share)] * 1000


@dataclass(frozen=True)
class Target:
    """Where requests go, and the bytes of one."""

    host: str
    port: int
    request: bytes

    async def connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
        return connection


def target_of(url: str, *, stream: bool, size: int, key: str) -> Target:
    parts = urlsplit(url)
    text = ("All work and no play makes a text, " * (size // 35 + 1))[:size]
    body = json.dumps({"model": "sim", "stream": stream, "messages": [{"role": "user", "content": text}]}).encode()
    headers = f"host: {parts.netloc}\r\ncontent-type: application/json\r\n"
    if key:
        headers += f"authorization: Bearer {key}\r\n"
    head = f"POST {parts.path} HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return Target(parts.hostname or "", parts.port or 80, head.encode() + body)


async def closed_loop(target: Target, answers: Answers, clients: int, seconds: float) -> None:
    until = time.perf_counter() + seconds
    connections = [await target.connect() for _ in range(clients)]
    async with asyncio.timeout(seconds + _PATIENCE_SECONDS):
        await asyncio.gather(*[_again_and_again(one, target.request, answers, until) for one in connections])


def _again_and_again(connection: Connection, request: bytes, answers: Answers, until: float) -> asyncio.Future[None]:
    """Done when the time is over. Callbacks, because a task per request would cost as much as the request."""
    done = asyncio.get_running_loop().create_future()
    started = 0.0

    def ask() -> None:
        nonlocal started
        started = time.perf_counter()
        connection.ask(request, answered)

    def answered(status: int, tail: bytes) -> None:
        answers.add(started, status, tail)
        if status and time.perf_counter() < until:
            ask()
        else:
            connection.close()
            done.set_result(None)

    ask()
    return done


async def open_loop(target: Target, answers: Answers, rate: float, seconds: float) -> None:
    free: list[Connection] = []
    started = time.perf_counter()
    asked = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        asked.append(asyncio.create_task(_ask_once(target, answers, free)))
    _, unanswered = await asyncio.wait(asked, timeout=_PATIENCE_SECONDS)
    answers.failures += len(unanswered)
    for connection in free:
        connection.close()


async def _ask_once(target: Target, answers: Answers, free: list[Connection]) -> None:
    started = time.perf_counter()
    try:
        connection = free.pop() if free else await target.connect()
    except OSError:
        answers.failures += 1
        return
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def answered(status: int, tail: bytes) -> None:
        answers.add(started, status, tail)
        done.set_result(status)

    connection.ask(target.request, answered)
    if await done:
        free.append(connection)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rate", type=float, help="requests per second, open loop")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--body", type=int, default=200, help="characters of the message")
    parser.add_argument("--key", default="", help="API key")
    args = parser.parse_args()
    target = target_of(args.url, stream=args.stream, size=args.body, key=args.key)
    answers = Answers(b"data: [DONE]\n\n" if args.stream else b"}")
    cpu, wall = time.process_time(), time.perf_counter()
    if args.rate:
        await open_loop(target, answers, args.rate, args.seconds)
    else:
        await closed_loop(target, answers, args.clients, args.seconds)
    print(json.dumps(report(answers, cpu, wall)))


def report(answers: Answers, cpu: float, wall: float) -> dict[str, float]:
    """`busy` is the share of one core that this process used: near 1 it measured itself."""
    return {
        "answers": len(answers.seconds),
        "failures": answers.failures,
        "p50_ms": round(answers.milliseconds(0.5), 3),
        "p95_ms": round(answers.milliseconds(0.95), 3),
        "p99_ms": round(answers.milliseconds(0.99), 3),
        "busy": round((time.process_time() - cpu) / (time.perf_counter() - wall), 2),
    }


if __name__ == "__main__":
    uvloop.run(main())
