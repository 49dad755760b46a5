"""The native executor adds adapters to every family's linear layers, of whatever shape and format."""

import random

import pytest
from support.models.adapters import ALL, merge, write_adapter

from fastchat_worker.engine.adapters import AdapterLoader
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.model import rope
from fastchat_worker.native.library import Weights

from .families import family

FUSED = ("qkv_proj", "gate_up_proj")
CHANCE = random.Random(5)
PROMPTS = [[CHANCE.randrange(3, 211) for _ in range(length)] for length in (1, 4, 9, 30, 60, 2)]
DIFFERENT = ["Llama, tied, with biases", "Llama, one key for nine queries", "Phi 3", "Qwen 3", "Gemma 3", "Granite"]


@pytest.mark.parametrize("name", DIFFERENT)
def test_each_row_gets_the_text_of_its_merged_model(run_engine, generate_alone, native, tmp_path, name):
    models = [_settled(family(name))]
    folders = [
        write_adapter(tmp_path / str(rank), models[0], seed=rank, rank=rank, targets=(*ALL, *FUSED)) for rank in (5, 40)
    ]
    models += [merge(_settled(family(name)), folder) for folder in folders]
    expected = [generate_alone(models[i % 3], prompt, 15) for i, prompt in enumerate(PROMPTS)]
    base = [generate_alone(models[0], prompt, 15) for prompt in PROMPTS]
    assert sum(map(list.__ne__, expected, base)) >= 2  # they make a difference
    runner = native(family(name))
    loaded = [None, *(AdapterLoader(runner).load(folder.name, folder) for folder in folders)]
    sequences = [Sequence(prompt, 15, loaded=loaded[i % 3]) for i, prompt in enumerate(PROMPTS)]
    running = run_engine(None, slots=4, budget=20, executor=lambda _: runner)
    assert running.generate(sequences) == expected


@pytest.mark.parametrize("weights", [Weights.INT8, Weights.BFLOAT16])
def test_over_smaller_weights_adapters_are_what_they_are_over_float32(
    run_engine, generate_alone, native, tmp_path, weights
):
    folder = write_adapter(tmp_path / "adapter", family("Llama"), rank=16, size=2)
    merged = merge(family("Llama"), folder)
    prompts = [[CHANCE.randrange(3, 211) for _ in range(12)] for _ in range(40)]
    expected = [generate_alone(merged, prompt, 1) for prompt in prompts]
    runner = native(family("Llama"), weights=weights)
    loaded = AdapterLoader(runner).load("adapter", folder)
    running = run_engine(None, executor=lambda _: runner)
    adapted = running.generate([Sequence(prompt, 1, loaded=loaded) for prompt in prompts])
    assert sum(map(list.__eq__, adapted, expected)) > 32
    plain = running.generate([Sequence(prompt, 1) for prompt in prompts])
    assert sum(map(list.__eq__, plain, expected)) < 8


def _settled(model):
    rope.settle(model, 512)
    return model
