"""Engines on a GPU, each of which has it to itself: tokens per second, time to first token, share of the bandwidth."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

from engines.bandwidth import gigabytes_per_second
from engines.contenders import Contender, Kind, UnavailableError
from engines.figures import Figures, Table, some_prompts, take_turns
from engines.shapes import SHAPES, described, parameters
from results.charts import Results, write
from results.of_engines import FIRST, PER_SECOND, charts

BYTES = 2  # of a weight
GOALS = {"vllm": 0.9, "continuous": 1.0, "generate": 1.0}
"""What ours does at least, of the tokens per second of others."""


def compare(args) -> None:
    """Prints a table for each length and number of prompts."""
    shape, sizes = args.shape or "8b", tuple(args.sizes or (1, 16, 64))
    kinds = _kinds(described(shape), args.device, max(sizes))
    weights = parameters(shape) * BYTES
    bandwidth = gigabytes_per_second(weights, args.threads, device=args.device)
    print(f"Llama {shape}, bfloat16, {device_name(args.device)}: {weights / 1e9:.1f} GB read at {bandwidth:.0f} GB/s")
    cases = [(length, size, args.tokens or 128) for length in args.prompts for size in sizes]
    table: Table = {(length, size): {} for length, size, _ in cases}
    for name in args.only.split(",") if args.only else kinds:
        measure(kinds[name], cases, args, table, name, SHAPES[shape]["vocab_size"])
    for length, size, tokens in cases:
        print(f"\n{size} × {length} tokens in, {tokens} new, {args.rounds} rounds")
        show(table[length, size], kinds, weights / 1e9 / bandwidth if size == 1 else None)
    measured = f"{device_name(args.device)}; {args.rounds} rounds, each engine alone; {date.today()}"
    write(args.json, Results(measured, charts(f"Llama {shape}", table, kinds, PER_SECOND, FIRST)))


def device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device.startswith("cuda") else device


def measure(kind: Kind, cases, args, table: Table, name: str, vocabulary: int) -> None:
    """Starts an engine, measures all cases and ends it; says why where it cannot."""
    try:
        contender = Contender(kind, args.threads)
        print(f"{kind.name}: {contender.title}", flush=True)
        for length, size, tokens in cases:
            prompts = some_prompts(size, length, vocabulary)
            table[length, size] |= take_turns({name: contender}, prompts, tokens, args.rounds)
        contender.close()
    except UnavailableError as error:
        print(f"{kind.name}: {error}", flush=True)


def show(figures: dict[str, Figures], kinds: dict[str, Kind], least_step: float | None) -> None:
    """least_step: seconds that reading all weights takes."""
    print(f"  {'engine':24}{'tokens/s':>10}{'first token':>13}{'CPU s/s':>9}  {'of bandwidth' if least_step else ''}")
    for name, each in figures.items():
        row = f"  {kinds[name].name:24}{each.per_second:>10.0f}{each.first * 1000:>10.0f} ms"
        row += f"{each.per_second / each.per_cpu_second:>9.2f}"
        print(row + (f"  {least_step / each.step:>12.0%}" if least_step else ""))
    ours = max((name for name in figures if kinds[name].ours), key=lambda name: figures[name].per_second, default=None)
    for other, factor in GOALS.items() if ours else ():
        if other in figures:
            found = figures[ours].per_second / figures[other].per_second
            verdict = "reached" if found >= factor else "MISSED"
            print(f"  {kinds[ours].name}: {found:.2f}x of {kinds[other].name}, at least {factor:.2f}x: {verdict}")


def _kinds(folder: Path, device: str, most: int) -> dict[str, Kind]:
    def kind(name: str, script: str, *arguments: object, python: Callable[[], Path] | None = None) -> Kind:
        return Kind(name, "bfloat16", BYTES, script, lambda _: (folder, *arguments), python=python)

    return {
        "generate": kind("model.generate", "with_transformers", "generate", device),
        "continuous": kind("continuous batching", "with_transformers", "continuous", device),
        "vllm": kind("vLLM", "with_vllm", "cuda", most, python=_of_vllm),
        "plain": kind("fastchat", "with_fastchat", device, "plain", most),
        "graphs": kind("fastchat, CUDA graphs", "with_fastchat", device, "graphs", most),
    }


def _of_vllm() -> Path:
    """The interpreter beside the command `vllm`. Raises: UnavailableError."""
    command = shutil.which("vllm")
    if not command:
        raise UnavailableError("there is no command vllm on the PATH")
    return Path(command).resolve().with_name("python")
