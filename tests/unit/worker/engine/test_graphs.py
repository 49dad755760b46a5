"""Recorded steps: the buckets that steps are padded to, and texts that are the same with them as without.

In place of CUDA's graphs, what is recorded is called again: it finds its inputs where they stood at first, or fails.
"""

import logging
import random

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.attention.batch import PackedBatch
from fastchat_worker.attention.graphs import columns
from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.engine.runner import Runner
from fastchat_worker.kv.edits import Clear
from fastchat_worker.sampling.parameters import GREEDY

SLOTS, MAX_LEN = 5, 200


@given(length=st.integers(1, 100_000), most=st.integers(1, 100_000))
def test_a_width_has_room_for_the_longest_sequence_and_little_more(length, most):
    width = columns(length, most)
    assert min(length, most) <= width <= most
    assert width < length * 1.26 + 64


def test_widths_are_few():
    assert len({columns(length, 8192) for length in range(1, 8193)}) <= 28


class Again:
    """Records by keeping the function; counts."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, run):
        self.recorded += 1

        def replay():
            self.replayed += 1
            run()

        return replay


def _model():
    torch.manual_seed(0)
    config = transformers.MistralConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=MAX_LEN, initializer_range=0.3, sliding_window=50,
    )  # fmt: skip
    return transformers.MistralForCausalLM(config).eval()


def _runner(record=None) -> Runner:
    runner = Runner(_model())
    if record:
        runner.record_decode(record)
    runner.open_cache(SLOTS, MAX_LEN)
    return runner


def _decode(rows: list[tuple[int, int]], sampled=None, edits=()) -> ModelInput:
    """A step of (token, position) of the slots 0, 1, …"""
    tokens, positions = zip(*rows, strict=True)
    batch = PackedBatch(tokens, positions, tuple(range(len(rows))), len(rows), ())
    sampled = range(len(rows)) if sampled is None else sampled
    return ModelInput(batch, edits, tuple(sampled), (GREEDY,) * len(sampled))


def test_logits_of_any_steps_are_those_of_steps_that_are_not_recorded():
    chance, again = random.Random(0), Again()
    plain, recorded = _runner(), _runner(again)
    for _ in range(60):
        rows = [(chance.randrange(97), chance.randrange(MAX_LEN)) for _ in range(chance.randint(1, SLOTS))]
        sampled = chance.sample(range(len(rows)), chance.randint(1, len(rows)))
        edits = (Clear(chance.randrange(SLOTS), MAX_LEN),) if chance.random() < 0.1 else ()
        step = _decode(rows, sampled, edits)
        assert torch.allclose(recorded.compute(step), plain.compute(step), atol=1e-5)
    assert again.recorded <= 4 * 4  # rows 1, 2, 4 and 5; columns 64, 128, 192 and 200
    assert again.replayed == 60


def test_padding_leaves_what_other_slots_hold_as_it_is():
    runner = _runner(Again())
    runner.compute(_decode([(slot + 3, 0) for slot in range(SLOTS)]))
    before = {name: tensor[3:, :, :MAX_LEN].clone() for name, tensor in runner._tensors.keys.items()}
    runner.compute(_decode([(9, 1), (8, 1), (7, 1)]))  # padded to four rows
    assert all(torch.equal(runner._tensors.keys[name][3:, :, :MAX_LEN], was) for name, was in before.items())


def _cannot(_run):
    raise RuntimeError("operation not permitted when stream is capturing\nmore of it")


def _something_else(run):
    return lambda: None


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (_cannot, "operation not permitted when stream is capturing"),
        (_something_else, "what was recorded computes something else"),
    ],
)
def test_where_a_step_cannot_be_recorded_steps_run_as_ever_and_the_log_says_why(caplog, record, said):
    caplog.set_level(logging.WARNING)
    plain, recorded = _runner(), _runner(record)
    for position in range(3):
        step = _decode([(5, position), (6, position)])
        assert torch.equal(recorded.compute(step), plain.compute(step))
    assert [each.getMessage() for each in caplog.records] == [f"steps run without CUDA graphs from here on: {said}"]
