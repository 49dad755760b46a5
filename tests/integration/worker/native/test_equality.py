"""The native executor computes what transformers does."""

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastchat_worker.attention.batch import PackedBatch, Span
from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.kv.edits import Assign
from fastchat_worker.model import rope
from fastchat_worker.native.description import Description
from fastchat_worker.native.library import Weights
from fastchat_worker.native.mixture import Mixture
from fastchat_worker.sampling.parameters import Choice

from .conftest import KERNELS
from .families import FAMILIES, family

TEXT = random.Random(1).choices(range(3, 211), k=150)


def _logits(model, text=TEXT):
    with torch.inference_mode():
        return model(torch.tensor([text])).logits[0]


def _distance(found, expected) -> float:
    """The greatest difference as a share of the greatest logit."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_transformers_to_a_ten_thousandth_of_the_greatest(native, name, kernels):
    model = family(name)
    rope.settle(model, 512)
    expected = _logits(model)
    assert _distance(native(model, kernels).logits(TEXT), expected) < 1e-4


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ["Llama, tied, with biases", "Gemma 2", "Granite"])
@pytest.mark.parametrize("weights", [Weights.INT8, Weights.INT4, Weights.INT4_BLOCKS])
def test_logits_are_those_of_the_rounded_weights_but_for_activations_in_int8(native, name, kernels, weights, rounded):
    model = family(name)
    rope.settle(model, 512)
    found = native(family(name), kernels, weights=weights).logits(TEXT)
    description, mixture = Description(model), Mixture(weights)
    for index in range(len(description.layers)):
        parts = list(description.linears(index))
        for part, kept in zip(parts, mixture.of_layer(index, len(description.layers), parts), strict=True):
            _round(part.linear, part.rows or slice(None), kept.weights, rounded)
    _round(model.lm_head, slice(None), Weights.INT8, rounded)
    if model.config.tie_word_embeddings:
        model.get_input_embeddings().weight = model.lm_head.weight
    expected = _logits(model)
    assert 0 < float((found - expected).norm() / expected.norm()) < 0.1


def _round(linear, rows, weights, rounded):
    numbers = linear.weight.detach().numpy()
    numbers[rows] = np.stack([rounded(weights, np.ascontiguousarray(row)) for row in numbers[rows]])


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ["Llama, tied, with biases", "Gemma 2", "Granite"])
def test_weights_in_bfloat16_are_computed_in_float32(native, name, kernels):
    model = family(name)
    rope.settle(model, 512)
    for weight in model.parameters():
        weight.data = weight.data.bfloat16().float()
    expected = _logits(model)
    assert _distance(native(model, kernels, weights=Weights.BFLOAT16).logits(TEXT), expected) < 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_requests_that_run_together_get_what_each_gets_alone(run_engine, generate_alone, native, name):
    model = family(name)
    rope.settle(model, 512)
    chance = random.Random(3)
    prompts = [[chance.randrange(3, 211) for _ in range(length)] for length in (1, 3, 7, 12, 20, 33, 50, 90)]
    alone = [generate_alone(model, prompt, 20 + i) for i, prompt in enumerate(prompts)]
    running = run_engine(model, slots=5, budget=16, executor=native)
    assert running.generate([Sequence(prompt, 20 + i) for i, prompt in enumerate(prompts)]) == alone


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_number_of_threads_changes_nothing(native, threads):
    expected = native(family("Llama"), threads=1).logits(TEXT)
    assert torch.equal(native(family("Llama"), threads=threads).logits(TEXT), expected)


def test_embeddings_are_those_of_torch(native):
    texts = [TEXT[:5], TEXT[5:90], TEXT[:1]]
    expected = Runner(family("Llama, tied, with biases")).embed(texts)
    found = native(family("Llama, tied, with biases")).embed(texts)
    assert abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("weights", Weights)
def test_a_sequence_that_is_not_finite_leaves_the_others_alone(native, weights):
    runner, fresh = (native(_with_nan(7), weights=weights) for _ in range(2))
    for each in (runner, fresh):
        each.open_cache(2, 64)
    assert runner.execute(_two([7, 8])).tokens[0] is None
    assert runner.execute(_two([8, 9])) == fresh.execute(_two([8, 9]))


def test_a_token_that_the_model_does_not_know_is_refused(native):
    runner = native(family("Llama"))
    for token in (-1, 211):
        with pytest.raises(ValueError, match="do not fit"):
            runner.embed([[5, token]])


def test_a_sequence_never_writes_into_anothers_slot(native):
    runner = native(family("Llama"))
    runner.open_cache(2, 32)
    batch = PackedBatch((5,), (32,), (0,), 1, ())
    with pytest.raises(ValueError, match="do not fit"):
        runner.execute(ModelInput(batch, (), (0,), (Choice(),)))


def _two(tokens):
    """A step that reads two prompts of one token."""
    batch = PackedBatch(tuple(tokens), (0, 0), (0, 1), 0, (Span(0, 1, 0, 0), Span(1, 2, 1, 0)))
    return ModelInput(batch, (Assign(0, 0, (0,)), Assign(1, 0, (1,))), (0, 1), (Choice(), Choice()))


def _with_nan(token: int):
    model = family("Llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[token] = float("nan")
    return model


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_random_schedule_gives_the_tokens_of_torch(engines, seed):
    chance = random.Random(seed)
    prompts = [[chance.randrange(3, 211) for _ in range(chance.randint(1, 70))] for _ in range(chance.randint(1, 9))]
    lengths = [chance.randint(1, 40) for _ in prompts]
    torchs, ours = ([Sequence(*each) for each in zip(prompts, lengths, strict=True)] for _ in range(2))
    assert engines[0].generate(torchs) == engines[1].generate(ours)


@pytest.fixture
def engines(run_engine, native):
    """torch's and ours, with few slots and small steps, so that prompts come in chunks and slots change hands."""
    return [
        run_engine(family("Qwen 3"), slots=3, budget=11),
        run_engine(family("Qwen 3"), slots=4, budget=9, executor=native),
    ]
