"""1,000 streams at a time through one gateway: is every byte there, in order, and when does it come?

    python benchmarks/streams.py [--streams 1000] [--seconds 30]

Four simulated workers write 20 tokens a second to each stream, each worker to all its streams at once, as a model's
batch does. Every client compares every byte with what must have been sent to it alone, the gateway's with the numbers
of their tokens, for these streams can be resumed. The yardstick is the same straight from the workers, in the same run.
Fails if a byte is wrong or the gateway takes too much memory. Takes 75 seconds.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop
from gateway import KEY, PATH, gateway, simulators
from servers.process import Process

WORKERS = 4
INTERVAL_SECONDS = 0.05
FLOOR_MIB = 300
_PATIENCE_SECONDS = 60
_EVENT = (
    b'data: {"id":"%d","object":"chat.completion.chunk","created":1,"model":"sim","choices":[{"index":0,'
    b'"delta":{"content":" %d"},"finish_reason":null}]}\n\n'
)
_END = b"data: [DONE]\n\n"
_ORIGIN, _TOKEN = b":r 1 0000000000000001 sim\n\n", b":t 0 %d%b\n\n"
"""Comments of a stream that can go on at another worker, as the gateway asks for them."""


class Client(asyncio.Protocol):
    """One stream, each byte of which is known beforehand."""

    def __init__(self, number: int, tokens: int, *, resumable: bool) -> None:
        self._number = number
        self._tokens = tokens
        self._resumable = resumable
        self._parser = httptools.HttpResponseParser(self)
        self._left = _ORIGIN if resumable else b""
        self._next = 0
        self._last = 0.0
        self.gaps: list[float] = []
        self.error = ""
        self.finished = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        asked = {"model": "sim", "stream": True, "max_tokens": self._tokens, "user": str(self._number)}
        body = json.dumps({**asked, "messages": [{"role": "user", "content": "hello"}]}).encode()
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self._last:
            self.gaps.append(now - self._last)
        self._last = now
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """What is left to come of the present event must be how this begins."""
        while body and not self.error:
            if not self._left:
                self._left = self._event()
            part = body[: len(self._left)]
            if not self._left.startswith(part):
                self._end(f"expected {self._left!r}, got {part!r}")
            self._left, body = self._left[len(part) :], body[len(part) :]

    def _event(self) -> bytes:
        self._next += 1
        if self._next > self._tokens:
            return _END
        comment = _TOKEN % (self._next - 1, b" ." if self._next == self._tokens else b"") if self._resumable else b""
        return _EVENT % (self._number, self._next - 1) + comment

    def on_message_complete(self) -> None:
        whole = self._next == self._tokens + 1 and not self._left
        self._end("" if whole else f"status {self._parser.get_status_code()}, ended in event {self._next}")

    def connection_lost(self, _: Exception | None) -> None:
        self._end(f"cut in event {self._next}")

    def give_up(self) -> None:
        self._end(f"not ended, in event {self._next}")

    def _end(self, error: str) -> None:
        if not self.finished.done():
            self.error = error
            self.finished.set_result(None)
            self._transport.close()


@dataclass
class Run:
    """What came of all streams."""

    errors: list[str]
    gaps_ms: list[float]
    memory_mib: list[float] = field(default_factory=list)
    server_busy: float = 0.0
    clients_busy: float = 0.0
    """Share of a core that they used."""

    def gap(self, share: float) -> float:
        return self.gaps_ms[int((len(self.gaps_ms) - 1) * share)]


async def run(urls: Sequence[str], streams: int, tokens: int, watched: Process | None) -> Run:
    """Open the streams within the first second and wait for their ends."""
    memory: list[float] = []
    watching = asyncio.create_task(watch(watched, memory)) if watched else None
    cpu, own, wall = watched.cpu_seconds() if watched else 0.0, time.process_time(), time.perf_counter()
    clients = []
    for number in range(streams):
        clients.append(await connect(urls[number % len(urls)], number, tokens, resumable=watched is not None))
        await asyncio.sleep(max(0.0, wall + number / streams - time.perf_counter()))
    await asyncio.wait([client.finished for client in clients], timeout=tokens * INTERVAL_SECONDS + _PATIENCE_SECONDS)
    for client in clients:
        client.give_up()
    if watching:
        watching.cancel()
    took = time.perf_counter() - wall
    return Run(
        [client.error for client in clients if client.error],
        sorted(gap * 1000 for client in clients for gap in client.gaps),
        memory,
        (watched.cpu_seconds() - cpu) / took if watched else 0.0,
        (time.process_time() - own) / took,
    )


async def connect(url: str, number: int, tokens: int, *, resumable: bool) -> Client:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        lambda: Client(number, tokens, resumable=resumable), parts.hostname or "", parts.port or 80
    )
    return client


async def watch(process: Process, memory: list[float]) -> None:
    while True:
        memory.append(process.memory_mib())
        await asyncio.sleep(0.5)


def show(name: str, run: Run) -> None:
    print(
        f"  {name:12}{len(run.errors):>8}{statistics.mean(run.gaps_ms):>10.1f}{run.gap(0.5):>8.1f}{run.gap(0.99):>8.1f}"
        f"{run.gaps_ms[-1]:>10.1f}{run.clients_busy:>14.0%}",
        flush=True,
    )
    for error in run.errors[:5]:
        print(f"    {error[:400]}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    tokens = int(args.seconds / INTERVAL_SECONDS)
    print(f"{args.streams} streams of {tokens} tokens, 20 a second; milliseconds between two reads of a client\n")
    print(f"  {'':12}{'errors':>8}{'mean':>10}{'p50':>8}{'p99':>8}{'longest':>10}{'clients busy':>14}")
    with simulators(WORKERS, f"--interval={INTERVAL_SECONDS}") as workers:
        direct = await run([worker.url for worker in workers], args.streams, tokens, None)
        show("no gateway", direct)
        with gateway(workers) as server:
            ours = await run([server.url], args.streams, tokens, server)
            show("gateway", ours)
    print(f"\n  the gateway took {ours.server_busy:.0%} of a core and {max(ours.memory_mib):.0f} MiB at most")
    wrong = bool(direct.errors or ours.errors)
    print(f"  every byte in order: {'MISSED' if wrong else 'reached'}")
    heavy = max(ours.memory_mib) > FLOOR_MIB
    print(f"  at most {FLOOR_MIB} MiB: {'MISSED' if heavy else 'reached'}")
    if wrong or heavy:
        sys.exit("a floor was missed")


if __name__ == "__main__":
    uvloop.run(main())
