"""What HTTP adds to generating: 16 streams of a worker take turns with the same sixteen prompts at the engine alone.

    python benchmarks/worker/streams.py [--prompt 64] [--tokens 96] [--rounds 3] [--threads 1] [--only native,int8]

SmolLM2-135M, greedy, no text twice. Each is a process of its own, of which the CPU time of all threads counts: the
worker's with HTTP, texts and events, the engine's with nothing but tokens. Then what it adds that streams can be
resumed: the worker's streams with their tokens' numbers take turns with those without.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from engines.contenders import KINDS, Contender
from engines.turns import options, some_prompts
from support.workers import SMOLLM2, WorkerProcess

from fastchat._runtime.resuming import RESUMABLE_HEADER

SEQUENCES, VOCABULARY = 16, 49_152
MOST = 1.05  # of the engine's CPU time
MOST_RESUMABLE = 1.01  # of that of streams that cannot be resumed
EXECUTORS = {"native": ("native", "none"), "int8": ("native", "int8"), "torch": ("torch", "none")}
Prompts = list[list[int]]


def main() -> None:
    parser = options(__doc__)
    parser.set_defaults(threads=1)
    parser.add_argument("--only", default="native,int8", help="executors, by commas")
    args = parser.parse_args()
    missed = [name for name in args.only.split(",") if not compare(name, args)]
    sys.exit(f"above what it may cost: {', '.join(missed)}" if missed else None)


def compare(name: str, args) -> bool:
    """Prints tokens per CPU-second of all; what something costs is the median of the rounds' own ratios."""
    prompts = some_prompts(SEQUENCES * (args.rounds + 1), args.prompt, VOCABULARY)
    turns = [prompts[first : first + SEQUENCES] for first in range(0, len(prompts), SEQUENCES)]
    with closing(Contender(KINDS[name], args.threads)) as engine, tempfile.TemporaryDirectory() as folder:
        worker = started(Path(folder), *EXECUTORS[name], args)
        try:
            seconds = [(engine.measure(turn, args.tokens).cpu, streamed(worker, turn, args.tokens)) for turn in turns]
            numbered = [there_and_back(worker, turn, args.tokens) for turn in turns]
        finally:
            worker.stop()
    ratio = told(name, seconds[1:], SEQUENCES * args.tokens)  # the first round warms up
    return ratio <= MOST and told_of_resuming(numbered, 2 * SEQUENCES * args.tokens) <= MOST_RESUMABLE


def there_and_back(worker: WorkerProcess, turn: Prompts, tokens: int) -> tuple[float, float]:
    """CPU seconds of streams that cannot be resumed and of such that can, two of each: a drift does not count."""
    plain, numbered, again, last = (
        streamed(worker, turn, tokens, resumable=each) for each in (False, True, True, False)
    )
    return plain + last, numbered + again


def told_of_resuming(seconds: list[tuple[float, float]], tokens: int) -> float:
    ratio = statistics.median(numbered / plain for plain, numbered in seconds)
    added = statistics.median(numbered - plain for plain, numbered in seconds) / tokens * 1e6
    spread = " ".join(f"{numbered / plain:.3f}" for plain, numbered in seconds)
    print(f"         resumable {ratio:.3f}x the CPU time ({spread}), {added:+.1f} µs a token,", end="")
    print(f" at most {MOST_RESUMABLE:.2f}x", flush=True)
    return ratio


def told(name: str, seconds: list[tuple[float, float]], tokens: int) -> float:
    ratio = statistics.median(http / bare for bare, http in seconds)
    bare, http = (statistics.median(side) for side in zip(*seconds, strict=True))
    added = statistics.median(http - bare for bare, http in seconds) / tokens * 1e6
    print(f"{name:8} engine {tokens / bare:8.1f} tokens/CPU-s, over HTTP {tokens / http:8.1f}", end="")
    print(f"   {ratio:.3f}x the CPU time, {added:+.0f} µs a token, at most {MOST:.2f}x", flush=True)
    return ratio


def started(folder: Path, executor: str, quantization: str, args) -> WorkerProcess:
    chosen = ("--executor", executor, "--quantization", quantization, "--prefix-caching", "off")
    arguments = ("--model-name", "m", "--model-path", SMOLLM2, "--max-model-len", "2048", *chosen)
    worker = WorkerProcess(folder, *arguments, env={"OMP_NUM_THREADS": str(args.threads)}, fresh=True)
    return worker.wait_ready(300)


def streamed(worker: WorkerProcess, prompts: Prompts, tokens: int, *, resumable: bool = False) -> float:
    """Seconds of CPU time that the worker takes to stream so many tokens to each of the prompts at once."""
    before = cpu_of(worker.process.pid)
    asyncio.run(at_once(worker.port, prompts, tokens, resumable))
    return cpu_of(worker.process.pid) - before


async def at_once(port: int, prompts: Prompts, tokens: int, resumable: bool) -> None:
    await asyncio.gather(*(stream(port, prompt, tokens, resumable) for prompt in prompts))


async def stream(port: int, prompt: list[int], tokens: int, resumable: bool) -> None:
    """One client with a connection of its own."""
    wanted = {"model": "m", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    body = json.dumps(wanted | {"stream": True, "stream_options": {"include_usage": True}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: worker\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += b"%b: 1\r\n" % RESUMABLE_HEADER.encode() if resumable else b""
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    answer = await reader.read(-1)
    assert b'"completion_tokens":%d' % tokens in answer, answer[-500:]
    assert (b"\n:t 0 " in answer) == resumable
    writer.close()


def cpu_of(pid: int) -> float:
    """Seconds of all threads that a process has had; Linux numbers its clock so (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


if __name__ == "__main__":
    main()
