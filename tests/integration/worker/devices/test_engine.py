"""The engine on a device: texts of many sequences, prefixes, adapters, memory as planned and memory that is short."""

import gc
import logging
import random
from pathlib import Path

import pytest
import torch
from support.models.adapters import merge, write_adapter

from fastchat_worker.engine.adapters import AdapterLoader
from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.kv.memory import plan

GREEDY_BAD = 210
"""A step with this token wants more memory than any device has."""


def _prompts(number: int, longest: int = 90) -> list[list[int]]:
    chance = random.Random(3)
    return [[chance.randrange(3, GREEDY_BAD) for _ in range(chance.randint(1, longest))] for _ in range(number)]


def test_sequences_get_what_each_gets_alone_from_transformers(small, executor, run_engine, generate_alone, caplog):
    caplog.set_level(logging.WARNING)
    prompts, model = _prompts(12), small()
    alone = [generate_alone(model, prompt, 20 + at) for at, prompt in enumerate(prompts)]
    running = run_engine(model, slots=7, budget=40, executor=executor)
    assert running.generate([Sequence(prompt, 20 + at) for at, prompt in enumerate(prompts)]) == alone
    assert "without CUDA graphs" not in caplog.text


def test_a_prompt_that_was_read_is_not_read_again(small, executor, run_engine, generate_alone):
    (prompt, *_), model = _prompts(1, 400), small()
    prompt = prompt * 3
    alone = generate_alone(model, prompt, 20)
    running = run_engine(model, executor=executor)
    first, again = Sequence(prompt, 20), Sequence(prompt, 20)
    assert [*running.generate([first]), *running.generate([again])] == [alone, alone]
    assert first.reused == 0
    assert again.reused is not None
    assert again.reused >= len(prompt) - 1


def test_rows_of_adapters_and_of_the_base_get_the_texts_of_merged_models(
    small, executor, run_engine, generate_alone, tmp_path
):
    folders = [write_adapter(tmp_path / str(seed), small().cpu(), seed=seed, rank=4 + seed) for seed in range(2)]
    which: list[Path | None] = [None, *folders, None, *folders]
    prompts, runner = _prompts(len(which)), executor(small())
    expected = [
        generate_alone(merge(small().cpu(), folder).to(runner.device) if folder else small(), prompt, 16)
        for folder, prompt in zip(which, prompts, strict=True)
    ]
    loader = AdapterLoader(runner)
    loaded = {folder: loader.load(folder.name, folder) for folder in folders}
    sequences = [Sequence(prompt, 16, loaded=loaded.get(folder)) for folder, prompt in zip(which, prompts, strict=True)]
    assert run_engine(None, executor=lambda _: runner).generate(sequences) == expected


class Short(Runner):
    """Asks the device for more memory than it has where a step has a certain token."""

    asked = 0

    def compute(self, step: ModelInput) -> torch.Tensor:
        if GREEDY_BAD in step.batch.tokens:
            Short.asked += 1
            torch.empty(1 << 46, dtype=torch.uint8, device=self.device)
        return super().compute(step)


def test_one_that_wants_more_memory_than_there_is_ends_alone(small, run_engine, generate_alone):
    model, prompts = small(), _prompts(6)
    alone = [generate_alone(model, prompt, 20) for prompt in prompts]
    greedy, others = Sequence([5, GREEDY_BAD, 7], 20), [Sequence(prompt, 20) for prompt in prompts]
    Short.asked = 0
    texts = run_engine(model, executor=Short).generate([*others[:3], greedy, *others[3:]])
    assert greedy.finish == "error"
    assert texts[:3] + texts[4:] == alone
    assert Short.asked


def test_the_cache_takes_what_was_planned(small, device):
    runner = Runner(small())
    room = plan(min(runner.free_bytes(), 2**30), runner.token_bytes, 100_000, None, 16)
    before = _taken(device)
    runner.open_cache(room.slots, room.max_len)
    planned = room.slots * room.max_len * runner.token_bytes
    assert planned == pytest.approx(0.8 * 2**30, rel=0.1)
    assert _taken(device) - before == pytest.approx(planned, rel=0.02)


def _taken(device: str) -> int:
    """Bytes that this process has of a device; on the CPU those of addresses, which are taken before memory is."""
    gc.collect()
    if device == "cuda":
        return torch.cuda.memory_allocated()
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096
