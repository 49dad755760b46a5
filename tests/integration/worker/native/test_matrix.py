"""Linear layers of many rows on matrix units (AMX)."""

import random

import numpy as np
import pytest
import torch
import transformers
from support.models.adapters import write_adapter

from fastchat_worker.engine.adapters import AdapterLoader
from fastchat_worker.engine.sequence import Sequence, Wanted
from fastchat_worker.model import rope
from fastchat_worker.native.library import Weights

from .families import FAMILIES, SMALL, family

TEXT = random.Random(2).choices(range(3, 211), k=150)
GROUPS = [Weights.INT8, Weights.INT4, Weights.INT4_BLOCKS]


def _runners(native, weights):
    return [native(family("Llama"), kernels, weights=weights) for kernels in ("AMX", "AVX-512-VNNI")]


@pytest.mark.parametrize("weights", GROUPS)
def test_few_rows_with_weights_in_groups_are_the_same_to_the_bit_with_amx_and_without(native, weights):
    amx, vnni = _runners(native, weights)
    assert torch.equal(amx.logits(TEXT[:31]), vnni.logits(TEXT[:31]))


@pytest.mark.parametrize("weights", GROUPS)
def test_many_rows_with_weights_in_groups_differ_by_the_rounding_of_activations_alone(native, weights):
    amx, vnni = (runner.logits(TEXT) for runner in _runners(native, weights))
    assert 0 < float((amx - vnni).norm() / vnni.norm()) < 0.1


def _wide():
    """Rows of 288 and 544 weights, a block of int4 and more; queries, keys and values in panels of their own."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 288, "intermediate_size": 544, "num_hidden_layers": 4, "head_dim": 32}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4, "initializer_range": 0.05}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL | sizes | heads)).eval()


@pytest.mark.parametrize("weights", GROUPS)
def test_rows_of_several_blocks_and_panels_of_several_types_are_read_by_amx_as_they_are_kept(native, weights):
    amx, vnni = (native(_wide(), kernels, weights=weights).logits(TEXT) for kernels in ("AMX", "AVX-512-VNNI"))
    assert 0 < float((amx - vnni).norm() / vnni.norm()) < 0.03


@pytest.mark.parametrize("weights", [Weights.FLOAT32, Weights.BFLOAT16])
def test_what_an_adapter_adds_to_many_rows_is_the_same_with_amx_and_without(run_engine, native, tmp_path, weights):
    folder = write_adapter(tmp_path / "adapter", family("Llama"), rank=16)
    prompts, scores = [[TEXT[(at * 7 + shift) % 150] for at in range(300)] for shift in range(2)], []
    for kernels in ("AMX", "AVX-512-VNNI"):
        runner = native(family("Llama"), kernels, weights=weights)
        loaded = AdapterLoader(runner).load("adapter", folder)
        sequences = [Sequence(prompt, 1, loaded=loaded, wanted=Wanted(5)) for prompt in prompts]
        run_engine(None, budget=600, executor=lambda _, runner=runner: runner).generate(sequences)
        scores.append([score.logprob for each in sequences for score in each.scores])
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.parametrize("weights", GROUPS)
def test_what_a_long_text_with_weights_in_groups_gets_does_not_depend_on_others(native, weights):
    runner = native(family("Llama"), "AMX", weights=weights)
    texts = [TEXT[:5], TEXT[5:45], TEXT[:1], TEXT[:150], TEXT[20:53]]
    alone = np.concatenate([runner.embed([text]) for text in texts])
    assert np.array_equal(runner.embed(texts), alone)


LONG = random.Random(3).choices(range(3, 211), k=600)
"""Two spans of tokens that attention rounds at a time, and a piece."""


@pytest.mark.parametrize("name", FAMILIES)
def test_attention_of_long_texts_differs_by_rounding_alone(native, name):
    def logits(kernels):
        model = family(name)
        rope.settle(model, 1024)
        return native(model, kernels, weights=Weights.INT8).logits(LONG)

    amx, vnni = logits("AMX"), logits("AVX-512-VNNI")
    off = (amx - vnni).norm(dim=-1) / vnni.norm(dim=-1)
    assert 0 < float(off.mean()) < 0.1
    assert float(off.quantile(0.99)) < 0.3


@pytest.mark.parametrize("name", ["Llama", "Mistral"])
def test_what_another_sequence_left_in_a_block_is_not_seen(native, run_engine, name):
    model = family(name)
    model.get_input_embeddings().weight.data[0] = torch.nan
    runner = native(model, "AMX", weights=Weights.INT8)
    good = [Sequence(TEXT[:40], 1, wanted=Wanted(5)) for _ in range(2)]
    for sequences in ([good[0]], [Sequence([0] * 64, 1), good[1]]):
        running = run_engine(None, slots=1, budget=600, executor=lambda _: runner)
        running.generate(sequences)
    assert [score.logprob for score in good[1].scores] == [score.logprob for score in good[0].scores] != []
