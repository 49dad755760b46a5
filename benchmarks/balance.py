"""How evenly requests are spread over four workers, and whether conversations find their caches again.

    python benchmarks/balance.py [--seconds 20]

Load: requests of very different length arrive at random at 70 % of what the simulated workers can do at most; of the
workers' unfinished requests, the most that one has over the mean is taken fifty times a second. Each worker does eight
at a time, the others wait there. Conversations: the workers keep the last sixteen and take time to read what they do
not know of a prompt; each turn goes to any of the gateways. The yardsticks go straight to the workers. Everybody gets
the same requests at the same times. Takes three and a half minutes.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop
from gateway import KEY, PATH, gateway, simulators
from load import Connection
from servers.process import Process

WORKERS = 4
SLOTS = 8
INTERVAL_SECONDS = 0.01
SIZES = (5, 5, 5, 5, 5, 5, 20, 20, 20, 100)
"""Tokens of an answer."""
UTILISATION = 0.7
CONVERSATIONS = 48
CACHE = 16
TURNS = 8
THINK_SECONDS = 1.0
PREFILL_SECONDS = 0.1
"""For 1,000 characters."""
SAMPLE_SECONDS = 0.02
_PATIENCE_SECONDS = 30

Choose = Callable[[int], str]
"""The URL for a request of a conversation."""


class Timed(Connection):
    """Knows when the first token came."""

    first = 0.0

    def on_body(self, body: bytes) -> None:
        if not self._tail:
            self.first = time.perf_counter()
        super().on_body(body)


class Clients:
    """Connections that are free for another request, by URL."""

    def __init__(self) -> None:
        self._free: dict[str, list[Timed]] = {}

    async def ask(self, url: str, request: bytes) -> tuple[float, bytes, float]:
        """Seconds to the first and to the last byte, and the last part of the body between."""
        free = self._free.setdefault(url, [])
        connection = free.pop() if free else await _connect(url)
        done: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        connection.ask(request, lambda status, tail: done.set_result((status, tail)))
        status, tail = await done
        if status != 200:
            raise RuntimeError(f"{url}: status {status}")
        free.append(connection)
        return connection.first - started, tail, time.perf_counter() - started

    def close(self) -> None:
        for connection in itertools.chain.from_iterable(self._free.values()):
            connection.close()


async def _connect(url: str) -> Timed:
    parts = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(Timed, parts.hostname or "", parts.port or 80)
    return connection


def chat(messages: list[str], tokens: int) -> bytes:
    said = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(messages)]
    body = json.dumps({"model": "sim", "stream": True, "max_tokens": tokens, "messages": said}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Result:
    """What came of one way to choose; times in seconds."""

    firsts: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    imbalances: list[float] = field(default_factory=list)
    hits: float = 0.0

    def add(self, first: float, _: bytes, total: float) -> None:
        self.firsts.append(first)
        self.totals.append(total)


# --------------------------------------------------------------------------------------------------------------------
# Workers
# --------------------------------------------------------------------------------------------------------------------


async def state_of(clients: Clients, workers: list[Process]) -> list[dict[str, int]]:
    request = b"GET /engine HTTP/1.1\r\nhost: x\r\n\r\n"
    answers = await asyncio.gather(*[clients.ask(worker.url, request) for worker in workers])
    return [json.loads(body) for _, body, _ in answers]


@asynccontextmanager
async def watched(workers: list[Process], clients: Clients, result: Result) -> AsyncIterator[None]:
    """Fills in what the workers know."""

    over = asyncio.Event()

    async def sample() -> None:
        while not over.is_set():
            outstanding = [state["outstanding"] for state in await state_of(clients, workers)]
            if sum(outstanding) >= len(workers):
                result.imbalances.append(max(outstanding) / statistics.mean(outstanding))
            await asyncio.sleep(SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    yield
    over.set()
    await sampling
    states = await state_of(clients, workers)
    result.hits = sum(state["hits"] for state in states) / sum(state["hits"] + state["misses"] for state in states)


# --------------------------------------------------------------------------------------------------------------------
# Who asks
# --------------------------------------------------------------------------------------------------------------------


async def load(choose: Choose, clients: Clients, result: Result, seconds: float) -> None:
    chance = random.Random(1)
    rate = UTILISATION * WORKERS * SLOTS / (statistics.mean(SIZES) * INTERVAL_SECONDS)
    due = started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        while due < started + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            request = chat(["hello"], chance.choice(SIZES))
            group.create_task(one(choose(0), request, clients, result))
            due += chance.expovariate(rate)


async def one(url: str, request: bytes, clients: Clients, result: Result) -> None:
    result.add(*await clients.ask(url, request))


async def conversations(choose: Choose, clients: Clients, result: Result, seconds: float) -> None:
    until = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(CONVERSATIONS):
            group.create_task(converse(number, choose, clients, result, until))


async def converse(number: int, choose: Choose, clients: Clients, result: Result, until: float) -> None:
    """One conversation after the other, each turn of which repeats all that was said."""
    chance = random.Random(number)
    await asyncio.sleep(chance.uniform(0, THINK_SECONDS))
    for begun in itertools.count():
        said = [f"Question {begun} of {number}: " + "why " * 250]
        for _ in range(TURNS):
            result.add(*await clients.ask(choose(number), chat(said, 20)))
            if time.perf_counter() > until:
                return
            said += ["because " * 50, "and why " * 12]
            await asyncio.sleep(chance.expovariate(1 / THINK_SECONDS))


# --------------------------------------------------------------------------------------------------------------------
# Who chooses
# --------------------------------------------------------------------------------------------------------------------


def straight_at_random(workers: list[Process]) -> Choose:
    chance = random.Random(2)
    return lambda _: chance.choice(workers).url


def straight_in_turn(workers: list[Process]) -> Choose:
    turns = itertools.cycle(workers)
    return lambda _: next(turns).url


def straight_to_its_own(workers: list[Process]) -> Choose:
    return lambda conversation: workers[conversation % len(workers)].url


@contextmanager
def through(workers: list[Process], gateways: int, policy: str) -> Iterator[Choose]:
    with ExitStack() as stack:
        yield straight_at_random(
            [stack.enter_context(gateway(workers, f"--load-balancing={policy}")) for _ in range(gateways)]
        )


Way = Callable[[list[Process], ExitStack], Choose]
LOAD_WAYS: dict[str, Way] = {
    "at random": lambda workers, _: straight_at_random(workers),
    "in turn": lambda workers, _: straight_in_turn(workers),
    "1 gateway, LeastRequests": lambda workers, stack: stack.enter_context(through(workers, 1, "LeastRequests")),
    "2 gateways, LeastRequests": lambda workers, stack: stack.enter_context(through(workers, 2, "LeastRequests")),
}
CONVERSATION_WAYS: dict[str, Way] = {
    "at random": lambda workers, _: straight_at_random(workers),
    "each to its own worker": lambda workers, _: straight_to_its_own(workers),
    "2 gateways, LeastRequests": lambda workers, stack: stack.enter_context(through(workers, 2, "LeastRequests")),
    "1 gateway, PrefixHash": lambda workers, stack: stack.enter_context(through(workers, 1, "PrefixHash")),
    "2 gateways, PrefixHash": lambda workers, stack: stack.enter_context(through(workers, 2, "PrefixHash")),
}


async def measure(ask: Any, way: Way, seconds: float, *options: str) -> Result:
    """With workers of its own, because the last way's conversations are in the caches."""
    result, clients = Result(), Clients()
    with ExitStack() as stack:
        options = (f"--slots={SLOTS}", f"--interval={INTERVAL_SECONDS}", *options)
        workers = stack.enter_context(simulators(WORKERS, *options))
        choose = way(workers, stack)
        async with asyncio.timeout(seconds + _PATIENCE_SECONDS), watched(workers, clients, result):
            await ask(choose, clients, result, seconds)
        clients.close()
    return result


def show(name: str, result: Result, *, cached: bool) -> None:
    def milliseconds(times: list[float]) -> str:
        ordered = sorted(times)
        return "".join(f"{ordered[int((len(ordered) - 1) * share)] * 1000:>8.0f}" for share in (0.5, 0.95))

    worth = f"{result.hits:>8.0%}" if cached else ""
    times = milliseconds(result.firsts) + milliseconds(result.totals)
    print(f"  {name:27}{len(result.totals):>9}{worth}{times}{statistics.mean(result.imbalances):>10.2f}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    times = f"{'first token':>16}{'whole answer':>16}"
    print(f"load; times are p50 and p95 in ms\n  {'':27}{'requests':>9}{times}{'most/mean':>10}")
    for name, way in LOAD_WAYS.items():
        show(name, await measure(load, way, args.seconds), cached=False)
    print(f"\nconversations\n  {'':27}{'requests':>9}{'hits':>8}{times}{'most/mean':>10}")
    for name, way in CONVERSATION_WAYS.items():
        result = await measure(conversations, way, args.seconds, f"--cache={CACHE}", f"--prefill={PREFILL_SECONDS}")
        show(name, result, cached=True)


if __name__ == "__main__":
    uvloop.run(main())
