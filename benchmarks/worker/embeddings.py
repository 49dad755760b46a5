"""Embeddings over HTTP beside sentence-transformers and fastembed, and clients together beside one by one.

    python benchmarks/worker/embeddings.py [--sentences 1000] [--clients 64] [--rounds 3]

all-MiniLM-L6-v2 in float32. All have the same sentences, of 1 to 120 words, and take turns; each figure is the median
of the rounds' own ratios. sentence-transformers' `encode` runs in this process, fastembed (ONNX Runtime) in one of its
own. CPU is user and system time of all threads of who computes. Fails below a floor.
"""

import argparse
import asyncio
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from engines.environments import Environment
from support.workers import MINILM, WorkerProcess
from worker import onnx_model

BATCH = 250
"""Sentences of one request; a client sends several requests at once."""
TICKS = 100
FLOORS = {"encode": 1.0, "fastembed": 1.0, "clients": 1.5}
FASTEMBED = Environment("fastembed-0.9.1", ("fastembed==0.9.1", "onnxruntime==1.32.0", "onnx==1.23.2"))
LONGEST = 256
"""Tokens of a text, as sentence-transformers' configuration of the model has it."""


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


class FastEmbed:
    """fastembed in a process of its own."""

    def __init__(self, model: Path, texts: list[str], folder: Path) -> None:
        installed = FASTEMBED.installed()
        (onnx,) = installed.glob("lib/python3*/site-packages")
        onnx_model.write(model, folder, LONGEST, onnx)
        (folder / "sentences.json").write_text(json.dumps(texts))
        program = str(Path(__file__).with_name("with_fastembed.py"))
        command = [str(installed / "bin/python"), program, str(folder), str(folder / "sentences.json")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin
        assert self._process.stdout
        self._asked, self._said = self._process.stdin, self._process.stdout
        assert self._said.readline() == "ready\n"

    def measured(self) -> tuple[float, float]:
        """Seconds of the clock and of CPU for all sentences."""
        self._asked.write("\n")
        self._asked.flush()
        clock, cpu = map(float, self._said.readline().split())
        return clock, cpu

    def close(self) -> None:
        self._process.communicate(timeout=60)


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


def compare(worker: WorkerProcess, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    from sentence_transformers import SentenceTransformer

    from fastchat_worker.sources.files import locate

    path = locate(MINILM, Path(), print).folder
    model = SentenceTransformer(str(path), device="cpu")
    texts = sentences(options.sentences)
    fastembed = FastEmbed(path, texts, folder)
    singles = [[text] for text in texts[: 4 * options.clients]]
    parts = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
    cpu = lambda: cpu_of(worker.process.pid)  # noqa: E731
    runs: dict[str, Callable[[], tuple[float, float]]] = {
        "http": lambda: measured(lambda: asyncio.run(at_once(worker.url, parts, 4)), cpu),
        "encode": lambda: measured(lambda: model.encode(texts, show_progress_bar=False), own_cpu),
        "fastembed": fastembed.measured,
        "together": lambda: measured(lambda: asyncio.run(at_once(worker.url, singles, options.clients)), cpu),
        "alone": lambda: measured(lambda: asyncio.run(at_once(worker.url, singles, 1)), cpu),
    }
    rounds = [{name: run() for name, run in runs.items()} for _ in range(options.rounds + 1)][1:]  # the first warms up
    fastembed.close()
    side = {name: [each[name] for each in rounds] for name in runs}
    return {
        "encode": ratio("HTTP beside encode", side["http"], side["encode"], len(texts)),
        "fastembed": ratio("HTTP beside fastembed", side["http"], side["fastembed"], len(texts)),
        "clients": ratio(f"{options.clients} clients beside one by one", side["together"], side["alone"], len(singles)),
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
            found = compare(worker.wait_ready(300), options, Path(folder))
        finally:
            worker.stop()
    missed = [f"{name}: {found[name]:.2f}× is below {floor}×" for name, floor in FLOORS.items() if found[name] < floor]
    sys.exit("; ".join(missed) or None)


if __name__ == "__main__":
    main()
