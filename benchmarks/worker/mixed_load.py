"""Whether a worker under mixed load ends every request and keeps its memory, threads and files.

    python benchmarks/worker/mixed_load.py [--minutes 10] [--clients 32] [--seed 0]

Chats and completions, whole and streamed, with and without seeds, penalties and log probabilities; invalid ones; ones
that the client leaves; a JSON schema; two adapters beside their base; embeddings. Each minute a line with the worker's
memory, threads and open files. Fails where a request has no end or another than it should, where tokens of the cache
are in use once nobody calls, or where something grows from the second minute on, when the cache has been written once,
to the last: memory by over 64 MiB, threads or, once nobody calls, files by over two.
"""

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.models.adapters import write_adapter
from support.workers import SMOLLM2, WorkerProcess
from transformers import LlamaConfig, LlamaForCausalLM

ADAPTERS = ("sql", "law")
SHAPE = LlamaConfig(
    hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
    vocab_size=49_152, tie_word_embeddings=True,
)  # fmt: skip
"""SmolLM2-135M's, as far as adapters depend on it."""
SECONDS = 300
"""A request without an end after that has none."""
MEMORY, OTHERS = 64, 2
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "warm": {"type": "boolean"}},
    "required": ["city", "warm"],
    "additionalProperties": False,
}
WORDS = [
    "the",
    "sea",
    "is",
    "calm",
    "tonight",
    "and",
    "a",
    "small",
    "boat",
    "with",
    "a",
    "red",
    "sail",
    "goes",
    "by",
    "while",
    "nobody",
    "looks",
    "up",
    "from",
    "the",
    "shore",
]

Client = httpx.AsyncClient
Request = Callable[[Client, random.Random], Awaitable[str]]


class EndError(Exception):
    """A request has ended otherwise than it should."""


@dataclass(frozen=True)
class State:
    """What the worker's process holds: MiB, threads, open files."""

    memory: float
    threads: int
    files: int

    def __str__(self) -> str:
        return f"{self.memory:.0f} MiB, {self.threads} threads, {self.files} files"


def state_of(pid: int) -> State:
    status = Path(f"/proc/{pid}/status").read_text()
    memory, threads = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads"))
    return State(memory / 1024, threads, len(os.listdir(f"/proc/{pid}/fd")))


def text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def chat(draw: random.Random, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text(draw, draw.choice((3, 20, 150)))}]
    return {"model": "m", "messages": messages, "max_tokens": draw.choice((1, 8, 32)), **fields}


def sampling(draw: random.Random) -> dict[str, Any]:
    return draw.choice(
        (
            {"temperature": 0},
            {"seed": draw.randrange(1000), "top_p": 0.9, "top_k": 40},
            {"min_p": 0.05, "repetition_penalty": 1.2, "presence_penalty": 0.5},
            {"logprobs": True, "top_logprobs": 3, "n": 2},
        )
    )


async def answered(client: Client, path: str, body: dict[str, Any], status: int = 200) -> Any:
    response = await client.post(path, json=body)
    if response.status_code not in (status, 429):  # with 429 it is told to come later
        raise EndError(f"{path}: {response.status_code} instead of {status}: {response.text[:200]}")
    return response.json()


async def whole(client: Client, draw: random.Random) -> str:
    await answered(client, "/v1/chat/completions", chat(draw, **sampling(draw)))
    return "chat"


async def completion(client: Client, draw: random.Random) -> str:
    await answered(client, "/v1/completions", {"model": "m", "prompt": text(draw, 12), "max_tokens": 12, "echo": True})
    return "completion"


async def streamed(client: Client, draw: random.Random) -> str:
    async with client.stream("POST", "/v1/chat/completions", json=chat(draw, stream=True)) as response:
        lines = [line async for line in response.aiter_lines() if line]
    if response.status_code == 200 and lines[-1] != "data: [DONE]":
        raise EndError(f"a stream ends with {lines[-1][:200]}")
    return "stream"


async def left(client: Client, draw: random.Random) -> str:
    body = chat(draw, stream=True) | {"max_tokens": 200}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        seen = draw.randrange(5)
        async for _ in response.aiter_lines():
            seen -= 1
            if seen < 0:
                break
    return "left"


async def invalid(client: Client, draw: random.Random) -> str:
    wrong = draw.choice(
        ({"temperature": -1}, {"messages": []}, {"stop": 7}, {"max_tokens": 10**7}, {"use_beam_search": True})
    )
    await answered(client, "/v1/chat/completions", chat(draw) | wrong, 400)
    return "invalid"


async def schema(client: Client, draw: random.Random) -> str:
    form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}
    await answered(client, "/v1/chat/completions", chat(draw, response_format=form) | {"max_tokens": 40})
    return "schema"


async def adapted(client: Client, draw: random.Random) -> str:
    body = chat(draw, **sampling(draw)) | {"model": draw.choice(ADAPTERS)}
    await answered(client, "/v1/chat/completions", body)
    return "adapter"


async def embeddings(client: Client, draw: random.Random) -> str:
    texts = [text(draw, draw.randrange(1, 30)) for _ in range(draw.randrange(1, 6))]
    await answered(client, "/v1/embeddings", {"model": "m", "input": texts})
    return "embeddings"


REQUESTS: tuple[Request, ...] = (whole, streamed, completion, left, invalid, schema, adapted, embeddings)


async def call(url: str, number: int, until: float, ends: Counter[str]) -> None:
    """One client: a request after the other, of a kind that chance picks."""
    draw = random.Random(number)
    async with Client(base_url=url, timeout=SECONDS) as client:
        while time.monotonic() < until:
            request = draw.choice(REQUESTS)
            try:
                async with asyncio.timeout(SECONDS):
                    ends[await request(client, draw)] += 1
            except (EndError, httpx.HTTPError, TimeoutError) as error:
                ends["failed"] += 1
                print(f"{request.__name__}: {error!r}", flush=True)


async def watch(pid: int, until: float, states: list[State], ends: Counter[str]) -> None:
    while time.monotonic() < until:
        await asyncio.sleep(min(60, max(until - time.monotonic(), 0)))
        states.append(state_of(pid))
        print(f"minute {len(states)}: {states[-1]}, {ends.total()} requests", flush=True)


async def load(worker: WorkerProcess, options: argparse.Namespace) -> tuple[list[State], Counter[str]]:
    until = time.monotonic() + 60 * options.minutes
    states: list[State] = []
    ends: Counter[str] = Counter()
    clients = (call(worker.url, 1000 * options.seed + number, until, ends) for number in range(options.clients))
    await asyncio.gather(watch(worker.process.pid, until, states, ends), *clients)
    return states, ends


def grown(states: list[State], idle: State) -> list[str]:
    """What has grown from the second minute on."""
    first, last = states[1], states[-1]
    found = []
    if last.memory > first.memory + MEMORY:
        found.append(f"memory grew from {first.memory:.0f} to {last.memory:.0f} MiB")
    if last.threads > first.threads + OTHERS:
        found.append(f"threads grew from {first.threads} to {last.threads}")
    if idle.files > first.files + OTHERS:
        found.append(f"files grew from {first.files} to {idle.files}")
    return found


def start(folder: Path) -> WorkerProcess:
    """A worker that serves SmolLM2 as m, beside it two adapters of random weights, and is ready."""
    model = LlamaForCausalLM(SHAPE)
    adapters = [write_adapter(folder / name, model, seed=at, rank=16) for at, name in enumerate(ADAPTERS)]
    options = ["--model-name", "m", "--model-path", SMOLLM2, "--max-model-len", "1024"]
    options += [f"--adapter={adapter.name}={adapter}" for adapter in adapters]
    return WorkerProcess(folder, *options, fresh=True)


def run(options: argparse.Namespace) -> list[str]:
    """What is wrong after the load."""
    with tempfile.TemporaryDirectory() as folder:
        worker = start(Path(folder))
        try:
            worker.wait_ready(300)
            print(f"ready: {state_of(worker.process.pid)}", flush=True)
            states, ends = asyncio.run(load(worker, options))
            worker.wait_for(lambda: worker.gauge("sequences_running") + worker.gauge("sequences_waiting") == 0)
            idle, in_use = state_of(worker.process.pid), worker.gauge("cache_tokens_in_use")
        finally:
            worker.stop()
    print(f"idle: {idle}; " + ", ".join(f"{kind} {count}" for kind, count in sorted(ends.items())))
    wrong = grown(states, idle) if len(states) > 1 else []
    if ends["failed"]:
        wrong.append(f"{ends['failed']} requests failed")
    if in_use:
        wrong.append(f"{in_use:.0f} tokens of the cache are in use by nobody")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    sys.exit("; ".join(run(parser.parse_args())) or None)


if __name__ == "__main__":
    main()
