"""What a normal client notices of hostile ones: its p95 at 50 requests a second, alone and beside each of them.
And what the worst bodies do to gateway and worker: how long nobody else is answered, and what memory they take.

    python benchmarks/hostile.py [--rounds 3] [--seconds 4] [--only clients|bodies]

That nobody gets what is not theirs and that memory stays bounded is what tests/integration/gateway/server proves; this
takes its requests and measures. Fails where a body's floor is missed. Takes four minutes.
"""

import argparse
import asyncio
import itertools
import json
import resource
import socket
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import uvloop
import worst_bodies
from gateway import KEY, PATH, gateway, simulators
from servers.process import Process

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from integration.gateway.server.test_endless_heads import ENDLESS  # noqa: E402
from integration.gateway.server.test_malformed import MALFORMED  # noqa: E402
from integration.gateway.server.wire import HIDDEN, post  # noqa: E402

RATE = 50
AUTHORIZATION = f"authorization: Bearer {KEY}".encode()

Attack = Callable[[Process], AbstractAsyncContextManager[None]]
"""Has begun when it is entered, and goes on until it is left."""


def dial(server: Process, receive_buffer: int = 2**16) -> socket.socket:
    """Small buffers, so that the kernel does not do the waiting for the server."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", server.port))
    sock.setblocking(False)
    return sock


async def send(sock: socket.socket, data: bytes) -> bool:
    """Whether the server still takes it."""
    try:
        await asyncio.get_running_loop().sock_sendall(sock, data)
    except ConnectionError:
        return False
    return True


@asynccontextmanager
async def many(count: int, client: Callable[[int], Awaitable[None]], head_start: float) -> AsyncIterator[None]:
    """So many clients at a time."""
    tasks = [asyncio.ensure_future(client(number)) for number in range(count)]
    await asyncio.sleep(head_start)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def slow_readers(server: Process) -> AbstractAsyncContextManager[None]:
    """Streams of 16 KiB a token, of which one byte a second is read."""
    body = json.dumps({"model": "sim", "stream": True, "max_tokens": 10**6, "user": "x" * 2**14}).encode()
    request = post(b"content-length: %d" % len(body), AUTHORIZATION, body=body)

    async def client(_: int) -> None:
        with dial(server, 2**12) as sock:
            await send(sock, request)
            with suppress(ConnectionError):
                while await asyncio.get_running_loop().sock_recv(sock, 1):  # noqa: ASYNC110  # it is no event
                    await asyncio.sleep(1)

    return many(20, client, 5)


def slow_writers(server: Process) -> AbstractAsyncContextManager[None]:
    """Heads and bodies of which a byte a second comes; who is cut comes again."""
    heads = {0: post(AUTHORIZATION, body=b"")[:-2] + b"x: ", 1: post(b"content-length: 9999", AUTHORIZATION, body=b"")}

    async def client(number: int) -> None:
        await asyncio.sleep(number / 500)
        while True:
            with dial(server) as sock:
                more = await send(sock, heads[number % 2])
                while more:
                    await asyncio.sleep(1)
                    more = await send(sock, b" ")

    return many(500, client, 2)


@asynccontextmanager
async def idle_connections(server: Process) -> AsyncIterator[None]:
    sockets = []
    for number in range(10_000):
        sockets.append(dial(server))
        if number % 100 == 0:
            await asyncio.sleep(0)
    yield
    for sock in sockets:
        sock.close()


def again_and_again(server: Process, requests: list[bytes], rate: float) -> AbstractAsyncContextManager[None]:
    """One after the other, each over a connection of its own until the server closes it."""
    turns = itertools.cycle(requests)

    async def one(request: bytes) -> None:
        with dial(server) as sock:
            await send(sock, request)
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(5):
                    while await asyncio.get_running_loop().sock_recv(sock, 2**16):
                        pass

    async def client(_: int) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(one(next(turns)))
                await asyncio.sleep(1 / rate)

    return many(1, client, 0.5)


ATTACKS: dict[str, Attack] = {
    "20 slow readers": slow_readers,
    "500 slow writers": slow_writers,
    "10,000 idle connections": idle_connections,
    "10 MB of heads a second": lambda server: again_and_again(server, list(ENDLESS.values()), 10),
    "100 malformed requests a second": lambda server: again_and_again(
        server, [request + HIDDEN for request in MALFORMED.values()], 100
    ),
}


async def normal(server: Process, seconds: float) -> dict[str, float]:
    command = [str(HERE / "load.py"), server.url + PATH, f"--key={KEY}", f"--rate={RATE}", f"--seconds={seconds}"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), seconds + 30)
    result: dict[str, float] = json.loads(out)
    return result


async def measure(attack: Attack, rounds: int, seconds: float) -> tuple[list[dict[str, float]], list[float]]:
    """Answers alone and beside, in turn, and the memory; with a gateway of its own, so that it is this attack's."""
    results, memory = [], []
    with simulators(2, "--interval=0.01") as workers, gateway(workers) as server:
        for _ in range(rounds):
            results.append(await normal(server, seconds))
            memory.append(server.memory_mib())
            async with attack(server):
                results.append(await normal(server, seconds))
                memory.append(server.memory_mib())
    return results, memory


def show(name: str, results: list[dict[str, float]], memory: list[float]) -> None:
    p95 = [result["p95_ms"] for result in results]
    alone, beside = p95[::2], p95[1::2]
    ratio = statistics.median(one / other for one, other in zip(beside, alone, strict=True))
    failures = sum(int(result["failures"]) for result in results)
    times = f"{statistics.median(alone):>9.2f}{statistics.median(beside):>9.2f}{ratio:>9.2f}"
    print(f"{name:32}{times}{failures:>10}{memory[0]:>12.0f}{max(memory):>9.0f}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", choices=("clients", "bodies"))
    args = parser.parse_args()
    if args.only != "bodies":
        await beside_clients(args.rounds, args.seconds)
    if args.only != "clients" and not await worst_bodies.measured():
        sys.exit("a body took more than it may")


async def beside_clients(rounds: int, seconds: float) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    columns = f"{'alone':>9}{'beside':>9}{'ratio':>9}{'failures':>10}{'memory':>12}{'at most':>9}"
    print(f"{'p95 in ms, memory in MiB':32}{columns}")
    for name, attack in ATTACKS.items():
        show(name, *await measure(attack, rounds, seconds))


if __name__ == "__main__":
    uvloop.run(main())
