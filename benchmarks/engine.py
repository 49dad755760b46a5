"""Our engine beside other people's, in one run: tokens per CPU-second and per second, time to first token.

    python benchmarks/engine.py [--rounds 3] [--only llama,native,...] [--sizes 1 4 16] [--prompts 64 512] [--json FILE]

All run SmolLM2-135M on the CPU, greedily, on the same prompts, with as many threads and new tokens: `model.generate` on
one batch, transformers' continuous batching, llama.cpp, OpenVINO GenAI, and our engine with its executors and types of
weights. Each has a process of its own and other people's an environment of their own, which is made the first time
(llama.cpp is compiled for this machine, for some minutes). They take turns, so that whatever else the machine does
meets all of them; medians are compared. CPU time counts all threads of a process. The first token is that of the last
sequence: a run with one new token each.

The bandwidth of the memory is measured beside them: all threads read as many bytes as the weights have, again and
again. A step of one sequence reads all weights once, so that it cannot be faster than that.

With --device cuda: a Llama of 8 billion random weights in bfloat16, made on the GPU, for 1, 16 and 64 sequences.
`model.generate`, transformers' continuous batching, vLLM (where the command `vllm` is on the PATH) and our engine with
and without CUDA graphs have the GPU to themselves, one after the other. --device cpu --shape tiny rehearses that.
"""

import argparse
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from engines.bandwidth import gigabytes_per_second
from engines.contenders import KINDS, Contender, Kind, UnavailableError
from engines.figures import Figures, Table, some_prompts, take_turns
from engines.gpu import compare
from engines.models import PARAMETERS
from engines.shapes import SHAPES
from results.charts import Results, add_option, write
from results.of_engines import FIRST_CPU, PER_CPU_SECOND, charts

VOCABULARY = 49_152
NEW = {64: 96, 512: 32}
"""New tokens of each sequence, by the length of the prompt."""


@dataclass(frozen=True)
class Goal:
    """What ours does at least, of the tokens per CPU-second of others."""

    ours: str
    others: tuple[str, ...]
    factors: dict[int, float]


GOALS = (
    Goal("native", ("generate", "continuous", "llama", "openvino", "vllm"), {1: 1.0, 4: 1.25, 16: 1.25}),
    Goal("int8", ("llama-q8",), {1: 1.3, 4: 1.8, 16: 1.8}),
    Goal("int8", ("openvino-int8",), {1: 1.2, 4: 1.2, 16: 1.2}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cuda: the comparison on a GPU, described below")
    parser.add_argument("--shape", choices=SHAPES, help="of the model of random weights that GPUs are compared with")
    parser.add_argument("--only", help="engines, by commas; default: all")
    parser.add_argument("--sizes", type=int, nargs="+", help="sequences at once; default: 1 4 16, on a GPU 1 16 64")
    parser.add_argument("--prompts", type=int, nargs="+", default=tuple(NEW), help="tokens of a prompt")
    parser.add_argument("--tokens", type=int, help="new tokens of each sequence, at least 2")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each engine")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each engine")
    add_option(parser)
    args = parser.parse_args()
    if args.device != "cpu" or args.shape:
        compare(args)
    else:
        compare_on_cpu(args)


def compare_on_cpu(args) -> None:
    args.only, args.sizes = args.only or ",".join(KINDS), args.sizes or (1, 4, 16)
    print(f"SmolLM2-135M, {args.threads} threads, {', '.join(cpu_flags())}")
    bandwidths: dict[str, float] = {}
    table: Table = {}
    contenders = start(args)
    for length in args.prompts:
        for size in args.sizes:
            if size == 1:
                measure_bandwidths(args, bandwidths)
            tokens = args.tokens or NEW.get(length, 32)
            print(f"\n{size} × {length} tokens in, {tokens} new, {args.rounds} rounds")
            prompts = some_prompts(size, length, VOCABULARY)
            table[length, size] = take_turns(contenders, prompts, tokens, args.rounds)
            show(table[length, size], size, bandwidths)
    for contender in contenders.values():
        contender.close()
    measured = f"{', '.join(cpu_flags())}; {args.threads} threads, {args.rounds} rounds in turn, {date.today()}"
    write(args.json, Results(measured, charts("SmolLM2-135M", table, KINDS, PER_CPU_SECOND, FIRST_CPU)))


def measure_bandwidths(args, best: dict[str, float]) -> None:
    """Gigabytes per second, by the precision of the weights that are as large as what is read; the best so far stays.

    Where a machine is shared, another moment has another bandwidth.
    """
    for name, kind in {KINDS[name].precision: KINDS[name] for name in args.only.split(",")}.items():
        best[name] = max(best.get(name, 0), gigabytes_per_second(_weights(kind), args.threads))
        print(f"\nmemory: {best[name]:.1f} GB/s, reading {_weights(kind) / 1e6:.0f} MB, the weights in {name}", end="")


def _weights(kind: Kind) -> int:
    return int(kind.bytes_per_weight * PARAMETERS)


def start(args) -> dict[str, Contender]:
    """The engines that start here."""
    started = {}
    for name in args.only.split(","):
        try:
            contender = Contender(KINDS[name], args.threads)
            contender.measure(some_prompts(1, 64, VOCABULARY), 2)  # what the machine cannot run is found here
            started[name] = contender
            print(f"{KINDS[name].name}: {contender.title}", flush=True)
        except UnavailableError as error:
            print(f"{KINDS[name].name}: {error}", flush=True)
    return started


def show(figures: dict[str, Figures], size: int, bandwidths: dict[str, float]) -> None:
    share = "of bandwidth" if size == 1 else ""
    print(f"  {'engine':24}{'tokens/CPU-s':>13}{'tokens/s':>10}{'first token':>13}{'its CPU':>10}  {share:>12}")
    for name, each in figures.items():
        kind = KINDS[name]
        row = f"  {kind.name:24}{each.per_cpu_second:>13.1f}{each.per_second:>10.1f}"
        row += f"{each.first * 1000:>10.0f} ms{each.first_cpu * 1000:>7.0f} ms"
        if size == 1:
            row += f"  {_weights(kind) / 1e9 / each.step / bandwidths[kind.precision]:>12.0%}"
        print(row)
    for goal in GOALS:
        judge(goal, figures, size)


def judge(goal: Goal, figures: dict[str, Figures], size: int) -> None:
    """Says how ours stands to the best of the others."""
    others = [name for name in goal.others if name in figures]
    if goal.ours not in figures or not others or size not in goal.factors:
        return
    best = max(others, key=lambda name: figures[name].per_cpu_second)
    factor = figures[goal.ours].per_cpu_second / figures[best].per_cpu_second
    sooner = min(figures[name].first_cpu for name in others) / figures[goal.ours].first_cpu
    verdict = "reached" if factor >= goal.factors[size] else "MISSED"
    print(
        f"  {KINDS[goal.ours].name}: {factor:.2f}x of {KINDS[best].name}, at least {goal.factors[size]:.2f}x: {verdict}"
        f"; reads prompts {sooner:.2f}x as fast as the best"
    )


def cpu_flags() -> list[str]:
    """What the CPU has of what matters here."""
    known = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return [flag for flag in known if flag in flags]


if __name__ == "__main__":
    main()
