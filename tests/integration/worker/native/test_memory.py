"""The native executor's memory: its cache takes what was planned, a step without memory ends its sequence only."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import transformers

from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.native.model import NativeModel

from .families import SMALL

MIB = 2**20
LONG = 1500
"""Tokens of a prompt whose step takes 4 × 40,000 bytes for each, 230 MiB."""
WIDE = {"intermediate_size": 40_000, "hidden_size": 16, "num_attention_heads": 2}


def _model(**settings):
    config = transformers.LlamaConfig(**SMALL | {"max_position_embeddings": 8192, "num_hidden_layers": 1} | settings)
    return transformers.LlamaForCausalLM(config).eval()


def _taken(what: str) -> int:
    """Bytes of this process: RssAnon or VmSize."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024


@contextmanager
def _at_most(more: int) -> Iterator[None]:
    """While it is open the process gets no more than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_taken("VmSize") + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _run(engine: Engine, prompts: list[list[int]]) -> list[tuple[str | None, list[int]]]:
    """How each of them ends, and what was generated."""
    done = threading.Semaphore(0)
    sequences = [
        Sequence(prompt, 8, listener=lambda _, finish: done.release() if finish else None) for prompt in prompts
    ]
    engine.submit(sequences)
    assert all(done.acquire(timeout=60) for _ in prompts)
    return [(each.finish, each.tokens) for each in sequences]


@pytest.fixture
def engine(native) -> Iterator[Engine]:
    """Of a model that needs much memory for a step of many tokens, and little for others."""
    runner = native(_model(**WIDE), threads=1)
    made = Engine(runner, Scheduler(runner.open_cache(4, 2048), budget=2048, max_waiting=99))
    made.start()
    yield made
    made.stop()


def test_a_step_that_gets_no_memory_ends_the_sequence_that_needs_it_and_no_other(engine):
    short, long = [[5, 6, 7], [8, 9]], [3 + at % 200 for at in range(LONG)]
    expected = _run(engine, short)
    with _at_most(96 * MIB):
        found = _run(engine, [short[0], long, short[1]])
    assert found == [expected[0], ("error", []), expected[1]]
    assert not engine.broken
    assert _run(engine, [long, *short])[1:] == expected


def test_after_a_step_that_got_no_memory_the_next_one_has_what_it_needs(native):
    runner = native(_model(**WIDE), threads=1)
    text = [3 + at % 200 for at in range(LONG)]
    expected = runner.logits(text[:9])
    with _at_most(96 * MIB), pytest.raises((MemoryError, RuntimeError)):
        runner.logits(text)
    assert runner.logits(text[:9]).equal(expected)


def test_a_cache_that_is_written_to_its_last_token_takes_what_was_planned(native):
    runner = native(_model(num_key_value_heads=6, head_dim=512), threads=1)
    slots, length = 4, 512
    planned = slots * length * runner.token_bytes
    before = _taken("RssAnon")
    engine = Engine(runner, Scheduler(runner.open_cache(slots, length), budget=128, max_waiting=99))
    assert _taken("RssAnon") - before < planned / 10
    engine.start()
    try:
        _run(engine, [[3 + (at + first) % 200 for at in range(length - 8)] for first in range(slots)])
    finally:
        engine.stop()
    assert planned == 48 * MIB
    assert 0.8 * planned < _taken("RssAnon") - before < 1.2 * planned


def test_a_model_that_gets_no_memory_is_a_memory_error(native):
    model = _model(**WIDE | {"intermediate_size": 1_000_000})
    with _at_most(96 * MIB), pytest.raises((MemoryError, RuntimeError)):
        NativeModel(model, threads=1).take_weights()
