"""Models whose weights stay in their files until they are laid out."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType, quants
from support.gguf_file import write_gguf
from support.workers import SMOLLM2

from fastchat_worker.model.gguf import parsed_once
from fastchat_worker.model.unread.gguf import unpacked
from fastchat_worker.model.unread.model import unread_model
from fastchat_worker.sources.files import ModelFiles, locate

CLASSES = ("LlamaForCausalLM", "Gemma2ForCausalLM", "Qwen3ForCausalLM")
_SMALL = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


def _unread(files: ModelFiles, dtype: torch.dtype = torch.float32, classes=CLASSES):
    with parsed_once():
        return unread_model(files.folder, files.gguf, dtype, classes)


def _check_same(files: ModelFiles, dtype: torch.dtype = torch.float32) -> None:
    """What is read, row by row as well, is what transformers loads; and so is the model once it is filled."""
    model, weights = _unread(files, dtype)
    with parsed_once():
        expected = transformers.AutoModelForCausalLM.from_pretrained(files.folder, dtype=dtype, **files.kwargs)
    names = dict(expected.named_parameters())
    assert names.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        assert torch.equal(weights.read(parameter), names[name]), name
        assert torch.equal(weights.rows(parameter, [0, 5, 3]), names[name][[0, 5, 3]]), name
    weights.fill()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, names[name]), name
    for name, buffer in expected.named_buffers():
        assert torch.equal(model.get_buffer(name), buffer), name
    assert model.generation_config.to_dict() == expected.generation_config.to_dict()
    configured = {key: value for key, value in expected.config.to_dict().items() if key != "quantization_config"}
    assert model.config.to_dict() == configured
    assert not model.training


def _saved(folder: Path, kind: str, **settings) -> ModelFiles:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**_SMALL | settings)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=settings.get("dtype", torch.float32))
    model.generation_config.eos_token_id = [3, 4]
    model.save_pretrained(folder, max_shard_size=settings.get("shard", "1GB"))
    return ModelFiles(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_of_a_gguf_file_of_a_small_model_what_transformers_loads_is_read(tmp_path, dtype):
    path = write_gguf(tmp_path / "model.gguf")
    _check_same(ModelFiles(tmp_path, path.name), dtype)


def test_of_smollm2_what_transformers_loads_is_read(tmp_path):
    _check_same(locate(SMOLLM2, tmp_path, print))


@pytest.mark.parametrize("kind", ["Llama", "Gemma2", "Qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_of_safetensors_what_transformers_loads_is_read(tmp_path, kind, tied):
    _check_same(_saved(tmp_path, kind, tie_word_embeddings=tied))


@pytest.mark.parametrize(("saved", "dtype"), [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)])
def test_weights_of_another_type_in_several_files_are_what_transformers_makes_of_them(tmp_path, saved, dtype):
    files = _saved(tmp_path, "Llama", dtype=saved, shard="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    _check_same(files, dtype)


def test_weights_that_are_not_exactly_the_models_are_left_to_transformers_which_says_why(tmp_path):
    write_gguf(tmp_path / "model.gguf", without="blk.1.ffn")
    assert _unread(ModelFiles(tmp_path, "model.gguf")) is None
    files = _saved(tmp_path / "folder", "Llama")
    config = transformers.LlamaConfig.from_pretrained(files.folder)
    config.intermediate_size += 1
    config.save_pretrained(files.folder)
    assert _unread(files) is None


def test_other_classes_are_left_to_transformers(tmp_path):
    assert _unread(_saved(tmp_path, "Llama"), classes=("Qwen3ForCausalLM",)) is None


@pytest.mark.parametrize(
    "kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q2_K", "Q4_K", "Q6_K", "IQ4_NL"]
)
def test_numbers_of_every_kind_are_those_that_gguf_unpacks(kind):
    of_kind = GGMLQuantizationType[kind]
    traits = quants._type_traits.get(of_kind)
    size = 3 * traits.type_size if traits else {"F32": 4, "F16": 2}[kind] * 32
    packed = np.random.default_rng(0).integers(0, 256, (300, size), np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(packed, of_kind)
        found = unpacked(packed.view(np.float16 if kind == "F16" else np.uint8), of_kind)
    np.testing.assert_array_equal(found, expected)
    finite = ~np.isnan(expected)
    assert found.view(np.uint32)[finite].tolist() == expected.view(np.uint32)[finite].tolist()
