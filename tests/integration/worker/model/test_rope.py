"""Rotary embeddings are those that a model was trained with, in every batch."""

import math
import random

import gguf
import numpy as np
import pytest
import torch
import transformers
from support.gguf_file import write_gguf

from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.model import rope


@pytest.mark.parametrize(
    ("stated", "parameters", "limit"),
    [
        ({"type": "linear", "factor": 4.0}, {"rope_type": "linear", "factor": 4.0}, 512),
        (
            {"type": "yarn", "factor": 4.0, "original_context_length": 128},
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
            512,
        ),
    ],
)
def test_the_scaling_of_a_gguf_file_is_applied(tmp_path, load, stated, parameters, limit):
    extra = {f"llama.rope.scaling.{key}": value for key, value in stated.items()}
    model = load(write_gguf(tmp_path / "m.gguf", extra=extra))
    config = model.model.config
    assert parameters.items() <= config.rope_parameters.items()
    assert model.max_len == limit
    plain = load(write_gguf(tmp_path / "plain.gguf")).model.config
    plain.rope_parameters = {**plain.rope_parameters, **parameters}
    yardstick = transformers.LlamaForCausalLM(plain).model.rotary_emb
    assert torch.equal(model.model.model.rotary_emb.inv_freq, yardstick.inv_freq)
    assert model.model.model.rotary_emb.attention_scaling == yardstick.attention_scaling


def test_the_frequency_factors_of_a_gguf_file_are_llama_3_1s(tmp_path, load):
    """Computed as llama.cpp's converter does, and compared with what transformers computes of the configuration."""
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 128, "rope_theta": 10000.0}  # fmt: skip
    wavelengths = 2 * math.pi * 10000.0 ** (np.arange(0, 16, 2) / 16)
    smooth = (128 / wavelengths - 1.0) / (4.0 - 1.0)
    between = 1 / ((1 - smooth) / 8.0 + smooth)
    factors = np.where(wavelengths < 128 / 4.0, 1.0, np.where(wavelengths > 128, 8.0, between)).astype(np.float32)
    path = write_gguf(tmp_path / "m.gguf", tensors={"rope_freqs.weight": factors})
    model = load(path).model
    config = load(write_gguf(tmp_path / "plain.gguf")).model.config
    config.rope_parameters = scaling
    yardstick = transformers.LlamaForCausalLM(config).model.rotary_emb.inv_freq
    torch.testing.assert_close(model.model.rotary_emb.inv_freq, yardstick, rtol=1e-5, atol=0)
    assert len(set(factors)) > 2
    assert gguf.GGUFReader(path).tensors[-1].name == "rope_freqs.weight"


@pytest.fixture
def longrope():
    torch.manual_seed(0)
    factors = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 2.0, 5.0, 20.0]}
    config = transformers.Phi3Config(
        vocab_size=99, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=256, original_max_position_embeddings=32, pad_token_id=0, initializer_range=0.3,
        rope_scaling={"type": "longrope", **factors},
    )  # fmt: skip
    model = transformers.Phi3ForCausalLM(config).eval()
    model.generation_config = transformers.GenerationConfig()
    return model


@pytest.mark.parametrize("max_len", [32, 256])
def test_a_long_neighbour_does_not_change_what_a_sequence_gets(longrope, run_engine, max_len):
    rope.settle(longrope, max_len)
    chance = random.Random(3)
    prompt, long = ([chance.randrange(3, 99) for _ in range(length)] for length in (10, 200))
    running = run_engine(longrope, slots=2, budget=64)
    [alone] = running.generate([Sequence(prompt, 15)])
    assert running.generate([Sequence(prompt, 15), Sequence(long, 15)])[0] == alone


def test_the_frequencies_are_those_of_the_longest_sequence_that_may_come(longrope):
    rotary = longrope.model.rotary_emb
    short = rotary.inv_freq.clone()
    rope.settle(longrope, 32)
    assert torch.equal(rotary.inv_freq, short)
    rotary.rope_type = "longrope"
    rope.settle(longrope, 33)
    assert torch.allclose(
        rotary.inv_freq * torch.tensor([1.0, 2.0, 5.0, 20.0]), short * torch.tensor([1, 1.1, 1.2, 1.3])
    )
