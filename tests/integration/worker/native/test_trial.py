"""The trial of a few layers and tokens by which the executor of a model is chosen."""

import pytest
import torch

from fastchat_worker.engine.selection import trial
from fastchat_worker.engine.selection.trial import distance, excerpt
from fastchat_worker.model.unread.weights import ModelWeights
from fastchat_worker.native.library import Weights
from fastchat_worker.native.model import NativeModel

from .families import FAMILIES, family


@pytest.mark.parametrize("name", FAMILIES)
def test_a_trial_of_every_family_finds_the_same_logits(native, name):
    assert distance(family(name), ModelWeights(), Weights.FLOAT32) < 1e-4


@pytest.mark.parametrize("weights", [Weights.INT8, Weights.INT4])
def test_a_trial_of_quantized_weights_finds_other_logits_but_similar_ones(native, weights):
    assert 0 < distance(family("Llama"), ModelWeights(), weights) < 0.4


@pytest.mark.parametrize(("name", "layers"), [("Llama", 2), ("SmolLM 3", 3), ("Gemma 3", 3)])
def test_a_trial_has_the_first_layer_of_each_kind_and_the_last(name, layers):
    assert excerpt(family(name), ModelWeights()).config.num_hidden_layers == layers


def test_a_model_stays_as_it_was(native):
    model, before = family("Qwen 3"), family("Qwen 3")
    distance(model, ModelWeights(), Weights.FLOAT32)
    assert model.config.to_dict() == before.config.to_dict()
    for found, expected in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("path", ["self_attn.q_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight"])
def test_what_one_of_both_does_otherwise_is_found(native, path, monkeypatch):
    class Other(NativeModel):
        def take_weights(self):
            weight = self.description.layers[0].get_parameter(path)
            weight.data = weight * 1.05
            super().take_weights()

    monkeypatch.setattr(trial, "NativeModel", Other)
    assert distance(family("Llama"), ModelWeights(), Weights.FLOAT32) > 1e-3
