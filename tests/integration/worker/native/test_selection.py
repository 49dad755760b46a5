"""Which executor runs a model, and what is said where the one that was asked for cannot."""

import logging

import pytest
import torch
import transformers

from fastchat_worker.engine.native_runner import NativeRunner
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.selection import executor
from fastchat_worker.errors import LoadError
from fastchat_worker.native import library

from .families import family


def _select(model, wanted="auto", quantization="none"):
    return executor.select(model, wanted, quantization)


def _other():
    config = transformers.Olmo2Config(
        vocab_size=211, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    return transformers.Olmo2ForCausalLM(config).eval()


def test_a_model_that_it_knows_runs_natively(native, caplog):
    caplog.set_level(logging.INFO)
    model = family("Llama")
    assert isinstance(_select(model), NativeRunner)
    assert f"executor: native, {library.kernels()} kernels, weights in float32" in caplog.text


def test_the_weights_are_not_kept_twice(native):
    model = family("Llama, tied, with biases")
    _select(model)
    kept = [name for name, weight in model.named_parameters() if weight.numel() and weight.dim() > 1]
    assert kept == []


def test_a_model_that_it_does_not_know_runs_through_torch_and_the_log_says_why(native, caplog):
    caplog.set_level(logging.INFO)
    assert isinstance(_select(_other()), Runner)
    assert "executor: torch, because: Olmo2ForCausalLM is not among the models that it knows" in caplog.text


def test_torch_runs_where_it_is_asked_for(native):
    assert isinstance(_select(family("Llama"), "torch"), Runner)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"wanted": "native"}, "--executor native"),
        ({"quantization": "int8"}, "int8"),
        ({"quantization": "int4"}, "int4"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(native, options, named):
    with pytest.raises(LoadError, match=rf"{named} cannot be had: .* Olmo2ForCausalLM"):
        _select(_other(), **options)


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_quantization_through_torch_is_refused(native, quantization):
    with pytest.raises(LoadError, match=rf"--quantization {quantization} cannot be had: .*--executor torch"):
        _select(family("Llama"), "torch", quantization)


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_the_log_says_what_the_weights_were_made(native, caplog, quantization):
    caplog.set_level(logging.INFO)
    assert isinstance(_select(family("Llama"), quantization=quantization), NativeRunner)
    assert f"weights in {quantization}," in caplog.text


def test_weights_in_bfloat16_stay_so(native, caplog):
    caplog.set_level(logging.INFO)
    assert isinstance(_select(family("Llama").bfloat16()), NativeRunner)
    assert "weights in bfloat16," in caplog.text


def test_weights_in_float16_run_through_torch(native, caplog):
    caplog.set_level(logging.INFO)
    assert isinstance(_select(family("Llama").half()), Runner)
    assert "executor: torch, because: --dtype float16" in caplog.text


def test_a_model_whose_logits_are_others_runs_through_torch(native, caplog, monkeypatch):
    monkeypatch.setitem(executor._TOLERANCES, library.Weights.FLOAT32, 0.0)
    runner = _select(family("Llama"))
    assert isinstance(runner, Runner)
    with torch.inference_mode():
        expected = family("Llama")(torch.tensor([[5, 6]])).logits[0]
    assert torch.allclose(runner.logits([5, 6]), expected, atol=1e-5)
    assert "the native executor computes something else than torch" in caplog.text


def test_a_rotary_embedding_that_depends_on_the_length_is_left_to_torch(native):
    model = family("Llama")
    model.model.rotary_emb.rope_type = "dynamic"
    assert isinstance(_select(model), Runner)


def test_without_the_library_torch_runs_and_the_log_says_how_to_build_it(monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(library, "PATH", tmp_path / "none.so")
    library.library.cache_clear()
    try:
        assert isinstance(_select(family("Llama")), Runner)
    finally:
        library.library.cache_clear()
    assert "executor: torch, because: it is not built here (make native)" in caplog.text
