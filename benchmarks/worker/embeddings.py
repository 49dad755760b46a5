"""Embeddings over HTTP beside sentence-transformers in this process, and clients together beside one by one.

    python benchmarks/worker/embeddings.py [--sentences 1000] [--clients 64] [--rounds 3]

all-MiniLM-L6-v2 in float32. Both sides have the same sentences, of 1 to 120 words, and take turns; each figure is the
median of the rounds' own ratios. CPU is user and system time of all threads of who computes. Fails below a floor.
"""

import argparse
import asyncio
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.workers import MINILM, WorkerProcess

BATCH = 250
"""Sentences of one request; a client sends several requests at once."""
TICKS = 100
FLOORS = {"sentences": 1.0, "clients": 1.5}


def sentences(count: int) -> list[str]:
    draw = random.Random(1)
    words = Path(__file__).parents[2].joinpath("docs", "worker.md").read_text().split()
    return [" ".join(draw.sample(words, min(int(draw.expovariate(1 / 14)) + 1, 120))) for _ in range(count)]


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measured(work: Callable[[], Any], cpu: Callable[[], float]) -> tuple[float, float]:
    """Seconds of the clock and of CPU."""
    began, used = time.monotonic(), cpu()
    work()
    return time.monotonic() - began, cpu() - used


async def embed(client: httpx.AsyncClient, texts: list[str]) -> None:
    body = {"model": "m", "input": texts, "encoding_format": "base64"}
    (await client.post("/v1/embeddings", json=body)).raise_for_status()


async def at_once(url: str, parts: list[list[str]], clients: int) -> None:
    """Each part as a request; so many at a time."""
    waiting = iter(parts)

    async def call(client: httpx.AsyncClient) -> None:
        for part in waiting:
            await embed(client, part)

    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        await asyncio.gather(*(call(client) for _ in range(clients)))


def ratio(name: str, ours: list[tuple[float, float]], theirs: list[tuple[float, float]], count: int) -> float:
    """Prints both, and what ours is of theirs by the clock and by CPU time. Returns the greater of the two."""
    clock, cpu = (statistics.median(b[which] / a[which] for a, b in zip(ours, theirs, strict=True)) for which in (0, 1))
    rates = [count / statistics.median(each[0] for each in side) for side in (ours, theirs)]
    print(f"{name}: {rates[0]:.0f} beside {rates[1]:.0f} a second: {clock:.2f}×; by CPU time {cpu:.2f}×", flush=True)
    return max(clock, cpu)


def compare(worker: WorkerProcess, options: argparse.Namespace) -> dict[str, float]:
    from sentence_transformers import SentenceTransformer

    from fastchat_worker.sources.files import locate

    model = SentenceTransformer(str(locate(MINILM, Path(), print).folder), device="cpu")
    texts = sentences(options.sentences)
    singles = [[text] for text in texts[: 4 * options.clients]]
    parts = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
    cpu = lambda: cpu_of(worker.process.pid)  # noqa: E731
    sides: dict[str, list[tuple[float, float]]] = {name: [] for name in ("http", "encode", "together", "alone")}
    for _ in range(options.rounds + 1):  # the first warms up
        sides["http"].append(measured(lambda: asyncio.run(at_once(worker.url, parts, 4)), cpu))
        sides["encode"].append(measured(lambda: model.encode(texts, show_progress_bar=False), own_cpu))
        sides["together"].append(measured(lambda: asyncio.run(at_once(worker.url, singles, options.clients)), cpu))
        sides["alone"].append(measured(lambda: asyncio.run(at_once(worker.url, singles, 1)), cpu))
    http, encode, together, alone = (side[1:] for side in sides.values())
    return {
        "sentences": ratio("HTTP beside encode", http, encode, len(texts)),
        "clients": ratio(f"{options.clients} clients beside one by one", together, alone, len(singles)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--model-name", "m", "--model-path", MINILM, "--task", "embed")
        worker = WorkerProcess(Path(folder), *arguments, fresh=True)
        try:
            found = compare(worker.wait_ready(300), options)
        finally:
            worker.stop()
    missed = [f"{name}: {found[name]:.2f}× is below {floor}×" for name, floor in FLOORS.items() if found[name] < floor]
    sys.exit("; ".join(missed) or None)


if __name__ == "__main__":
    main()
