"""Checkpoints whose weights are quantised: those that transformers reads without another package."""

import logging
import shutil
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.selection.executor import select
from fastchat_worker.errors import LoadError
from fastchat_worker.model.linear import PackedLinear

BLOCK = 128
TEXT = list(range(2, 60))


def _model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=258, hidden_size=256, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=256, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture
def fp8(tiny_folder, tmp_path, edit_json):
    """Weights in float8 with a scale for each block, as DeepSeek and Qwen publish them."""
    folder = tmp_path / "fp8"
    shutil.copytree(tiny_folder, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    _model().save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        blocks = tensors[name].unflatten(0, (-1, BLOCK)).unflatten(2, (-1, BLOCK))
        scales = blocks.abs().amax((1, 3)) / 448
        tensors[name] = (blocks / scales[:, None, :, None]).view_as(tensors[name]).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = scales
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    edit_json(folder / "config.json", quantization_config={"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]})
    return folder


def test_a_model_in_float8_is_served_where_the_cpu_computes(fp8, load):
    made = select(load(fp8).model, "torch", "none").logits(TEXT)
    plain = Runner(_model()).logits(TEXT)
    assert (made - plain).norm() < 0.1 * plain.norm()


@pytest.fixture
def quantized():
    """A model as transformers leaves it whose weights only another package can compute with."""
    model = _model()
    config = SimpleNamespace(quant_method=SimpleNamespace(value="torchao"))
    model.hf_quantizer = SimpleNamespace(quantization_config=config)
    return model


def test_weights_that_another_package_computes_with_run_through_torch_and_stay_as_they_are(quantized, caplog):
    caplog.set_level(logging.INFO)
    assert isinstance(select(quantized, "auto", "none"), Runner)
    assert "executor: torch, because: its weights are quantised by torchao" in caplog.text
    assert not any(isinstance(module, PackedLinear) for module in quantized.modules())


@pytest.mark.parametrize(("wanted", "quantization"), [("native", "none"), ("auto", "int8")])
def test_the_native_executor_refuses_them_by_name(quantized, wanted, quantization):
    with pytest.raises(LoadError, match="its weights are quantised by torchao"):
        select(quantized, wanted, quantization)
