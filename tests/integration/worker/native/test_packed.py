"""Weights of a GGUF file are used as they are there, in each of the formats that have kernels."""

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Format
from support.gguf_file import write_gguf

from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.selection.executor import select
from fastchat_worker.errors import LoadError
from fastchat_worker.model.gguf import tensors
from fastchat_worker.model.loader import load
from fastchat_worker.native.description import Description
from fastchat_worker.native.library import Weights
from fastchat_worker.native.mixture import Mixture
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

from .conftest import KERNELS

TEXT = [5, 99, 3, 42, 17, 120, 8]
FORMATS = {
    Format.Q8_0: Weights.INT8,
    Format.Q4_0: Weights.INT4,
    Format.Q4_1: Weights.INT4,
    Format.Q4_K: Weights.INT4_BLOCKS,
}
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


class Tensor:
    """As gguf's reader has it."""

    def __init__(self, data: np.ndarray, tensor_type: Format) -> None:
        self.data, self.tensor_type = data, tensor_type


def _blocks(rows: int, inputs: int, form: Format) -> np.ndarray:
    """Random ones. gguf writes none in Q4_K: there all bytes are random but for the scales, which are small."""
    chance = np.random.default_rng(rows)
    if form != Format.Q4_K:
        return gguf.quantize(chance.standard_normal((rows, inputs)).astype(np.float32) / 16, form)
    blocks = chance.integers(0, 256, (rows, inputs // 256, 144), np.uint8)
    blocks[..., :4] = chance.uniform(1e-4, 3e-4, (rows, inputs // 256, 2)).astype(np.float16).view(np.uint8)
    return blocks.reshape(rows, -1)


def _model(form: Format):
    """A model with random weights that are the numbers of a file's tensors, and those."""
    config = transformers.LlamaConfig(
        vocab_size=128, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=4, tie_word_embeddings=True,
    )  # fmt: skip
    model, tensors = transformers.LlamaForCausalLM(config).eval(), {}
    for index, layer in enumerate(model.model.layers):
        for path, name in NAMES.items():
            tensors[f"blk.{index}.{name}.weight"] = _fill(layer.get_submodule(path), form)
    tensors["token_embd.weight"] = _fill(model.lm_head, form)
    model.get_input_embeddings().weight = model.lm_head.weight
    return model, tensors


def _fill(linear, form: Format) -> Tensor:
    tensor = Tensor(_blocks(*linear.weight.shape, form), form)
    linear.weight = torch.nn.Parameter(torch.from_numpy(gguf.dequantize(tensor.data, form)), requires_grad=False)
    return tensor


def _bytes(tensors) -> int:
    return sum(tensor.data.nbytes for tensor in tensors.values())


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("form", FORMATS)
def test_logits_are_those_of_the_files_numbers(native, form, kernels):
    model, tensors = _model(form)
    with torch.inference_mode():
        expected = model(torch.tensor([TEXT])).logits[0]
    found = native(model, kernels, weights=Mixture(Weights.INT8, tensors, as_filed=True)).logits(TEXT)
    assert float((found - expected).norm() / expected.norm()) < 0.02  # activations are in int8


@pytest.mark.parametrize("form", FORMATS)
def test_embeddings_are_the_files_numbers_to_float_rounding(form, packed_row):
    blocks = _blocks(4, 512, form)
    expected = gguf.dequantize(blocks, form)
    for row, numbers in zip(blocks, expected, strict=True):
        np.testing.assert_allclose(packed_row(FORMATS[form], form, row, 512), numbers, rtol=2e-6, atol=1e-8)


def test_a_tensor_that_is_not_what_was_loaded_is_not_taken(native):
    model, tensors = _model(Format.Q4_0)
    wrong = tensors["blk.0.ffn_down.weight"]
    wrong.data = wrong.data[::-1]
    kept = Mixture(Weights.INT8, tensors, as_filed=True)
    assert kept._find(["blk.0.ffn_down.weight"], lambda: model.model.layers[0].mlp.down_proj.weight, None) is None


@pytest.mark.parametrize("form", FORMATS)
def test_the_weights_take_no_more_room_than_in_the_file_but_for_rounding_up(native, form):
    model, tensors = _model(form)
    size = native(model, weights=Mixture(Weights.INT8, tensors, as_filed=True)).weight_bytes
    assert size <= _bytes(tensors) * (1.12 if form == Format.Q4_0 else 1.03)


@pytest.mark.parametrize("form", [Format.Q8_0, Format.Q4_0, Format.Q4_1])
def test_a_file_that_is_served_is_used_as_it_is(functions, tmp_path, form):
    path = write_gguf(tmp_path / "model.gguf", form=form)
    asked = Settings(model_name="m", model_path=str(path))
    model = load(ModelFiles(tmp_path, path.name), asked, lambda _: None)
    expected = Runner(model.model).logits(TEXT)
    description, mixture = Description(model.model), Mixture(Weights.INT8, tensors(path), as_filed=True)
    parts = list(description.linears(1))
    kept = [each.weights for each in mixture.of_layer(1, 2, parts) if each.blocks is not None]
    assert kept == [FORMATS[form]] * 6  # the last of the MLP has rows of 48 numbers
    found = select(model.model, "native", "gguf", file=model.file).logits(TEXT)
    assert float((found - expected).norm() / expected.norm()) < 0.06  # activations are in int8


def test_gguf_is_refused_for_what_is_no_gguf_file():
    with pytest.raises(LoadError, match="--quantization gguf is for a GGUF file"):
        select(None, "auto", "gguf")


def test_queries_and_keys_turned_as_transformers_turns_them_are_found(native):
    model, tensors = _model(Format.Q4_0)
    weight = model.model.layers[0].self_attn.q_proj.weight
    turned = tensors["blk.0.attn_q.weight"].data.reshape(8, 16, 2, -1).swapaxes(1, 2).reshape(256, -1)
    weight.data = torch.from_numpy(gguf.dequantize(np.ascontiguousarray(turned), Format.Q4_0))
    kept = Mixture(Weights.INT8, tensors, as_filed=True)._find(["blk.0.attn_q.weight"], lambda: weight, None)
    assert kept is not None
    assert np.array_equal(kept.blocks, turned)
