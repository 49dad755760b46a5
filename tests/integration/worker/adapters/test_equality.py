"""Rows of adapters and of the base in one batch get what each gets from a model that the adapter is merged into."""

import random

import pytest
from support.models.adapters import merge, write_adapter

from fastchat_worker.engine.adapters import AdapterLoader
from fastchat_worker.engine.sequence import Sequence

from .base import base

KINDS = {
    "plain": {},
    "stabilised": {"use_rslora": True, "lora_alpha": 4},
    "by layer": {"rank_pattern": {r"layers\.1\..*_proj": 3, "q_proj": 5}, "alpha_pattern": {"o_proj": 30}},
    "some layers": {"targets": ("q_proj", "v_proj")},
}


@pytest.fixture(scope="session")
def adapters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return [
        write_adapter(folder / str(index), base(), seed=index, rank=16, **options)
        for index, options in enumerate(KINDS.values())
    ]


def test_sixteen_rows_of_four_adapters_and_the_base_get_the_texts_of_merged_models(
    run_engine, generate_alone, executor, adapters
):
    chance = random.Random(1)
    prompts = [[chance.randrange(3, 211) for _ in range(chance.randint(1, 40))] for _ in range(16)]
    which = [None, *adapters, *chance.choices([None, *adapters], k=11)]
    models = {folder: merge(base(), folder) if folder else base() for folder in {*which}}
    expected = [generate_alone(models[folder], prompt, 20) for folder, prompt in zip(which, prompts, strict=True)]
    assert all(expected[i] != generate_alone(base(), prompts[i], 20) for i in range(1, 5))  # they make a difference
    runner = executor(base())
    loader = AdapterLoader(runner)
    loaded = {folder: loader.load(folder.name, folder) for folder in adapters}
    sequences = [Sequence(prompt, 20, loaded=loaded.get(folder)) for folder, prompt in zip(which, prompts, strict=True)]
    # Steps of many rows and of few.
    assert run_engine(None, slots=16, budget=100, executor=lambda _: runner).generate(sequences) == expected


def test_what_the_base_has_read_is_not_taken_for_what_an_adapter_makes_of_it(
    run_engine, generate_alone, executor, adapters
):
    prompt = random.Random(2).choices(range(3, 211), k=100)
    runner = executor(base())
    running = run_engine(None, executor=lambda _: runner)
    assert running.generate([Sequence(prompt, 15)]) == [generate_alone(base(), prompt, 15)]
    loaded = AdapterLoader(runner).load("adapter", adapters[0])
    expected = [generate_alone(merge(base(), adapters[0]), prompt, 15)]
    assert running.generate([Sequence(prompt, 15, loaded=loaded)]) == expected
    again = Sequence(prompt, 15, loaded=loaded)
    assert running.generate([again]) == expected
    assert again.reused


def test_adapters_that_come_one_after_the_other_get_the_texts_of_merged_models(
    run_engine, generate_alone, executor, tmp_path
):
    folders = [write_adapter(tmp_path / str(seed), base(), seed=seed, rank=40) for seed in range(3)]
    runner = executor(base())
    loaded = [AdapterLoader(runner).load(folder.name, folder) for folder in folders]
    running = run_engine(None, executor=lambda _: runner)
    expected = [generate_alone(merge(base(), folder), [5, 6, 7], 8) for folder in folders]
    for first, second in ((0, 1), (1, 2), (2, 0), (0, 1)):
        sequences = [Sequence([5, 6, 7], 8, loaded=loaded[which]) for which in (first, second)]
        assert running.generate(sequences) == [expected[first], expected[second]]
