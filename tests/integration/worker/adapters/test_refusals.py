"""What is no adapter for a base, or asks for what is not computed, is refused by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.models.adapters import ALL, write_adapter

from fastchat_worker.adapters.adapter import read_adapter
from fastchat_worker.adapters.targets import Targets, targets_of
from fastchat_worker.errors import LoadError

from .base import base

MODULE = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="session")
def targets() -> Targets:
    return targets_of(base())


@pytest.fixture
def adapter(tmp_path):
    return write_adapter(tmp_path / "adapter", base())


def change_config(folder, **fields):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def change_tensors(folder, change):
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def refusal(folder, targets) -> str:
    with pytest.raises(LoadError) as refused:
        read_adapter(folder, "sql", targets)
    assert "\n" not in str(refused.value)
    return str(refused.value)


CONFIGS = {
    "is of type LOHA": {"peft_type": "LOHA"},
    "is for task SEQ_CLS": {"task_type": "SEQ_CLS"},
    "has use_dora": {"use_dora": True},
    "has modules_to_save": {"modules_to_save": ["lm_head"]},
    "has bias=all": {"bias": "all"},
    "has lora_bias": {"lora_bias": True},
    "has init_lora_weights=pissa": {"init_lora_weights": "pissa"},
    "has target_parameters": {"target_parameters": ["mlp.experts.gate_up_proj"]},
    "r: Input should be": {"r": 0},
    "r: Input should be less": {"r": 10**9},
    "is for GPT2LMHeadModel, and the base is LlamaForCausalLM": {
        "auto_mapping": {"base_model_class": "GPT2LMHeadModel", "parent_library": "transformers"}
    },
    "its configuration says 5: copy all files": {"r": 5},
    "which its target_modules do not name": {"target_modules": ["v_proj"]},
    "names fc_in in its target_modules and has no weights for it": {"target_modules": [*ALL, "fc_in"]},
    "a pattern of its configuration is none": {"target_modules": "("},
}


@pytest.mark.parametrize(("reason", "fields"), CONFIGS.items())
def test_a_configuration_that_is_not_computed_or_does_not_fit_is_refused(adapter, targets, reason, fields):
    change_config(adapter, **fields)
    assert refusal(adapter, targets).startswith("adapter sql")
    assert reason in refusal(adapter, targets)


def wider(tensors):
    tensors[f"{MODULE}.lora_A.weight"] = torch.zeros(8, 80)


def deeper(tensors):
    tensors[MODULE.replace("layers.0", "layers.7") + ".lora_A.weight"] = torch.zeros(8, 72)
    tensors[MODULE.replace("layers.0", "layers.7") + ".lora_B.weight"] = torch.zeros(72, 8)


def head(tensors):
    tensors["base_model.model.lm_head.lora_A.weight"] = torch.zeros(8, 72)
    tensors["base_model.model.lm_head.lora_B.weight"] = torch.zeros(211, 8)


def halved(tensors):
    del tensors[f"{MODULE}.lora_B.weight"]


def infinite(tensors):
    tensors[f"{MODULE}.lora_B.weight"][3, 2] = float("inf")


def embedded(tensors):
    tensors["base_model.model.model.embed_tokens.lora_embedding_A"] = torch.zeros(8, 211)


WEIGHTS = {
    wider: "q_proj of 80 → 72 numbers, and that of the base has 72 → 72: it was trained on org/base",
    deeper: "model.layers.7.self_attn.q_proj, a layer that is not adapted here or that the base (LlamaForCausalLM)",
    head: "is for lm_head, a layer that is not adapted here",
    halved: "has only lora_A of model.layers.0.self_attn.q_proj",
    infinite: "has weights for model.layers.0.self_attn.q_proj that are not finite",
    embedded: "has base_model.model.model.embed_tokens.lora_embedding_A, which is no part of a LoRA on a linear layer",
}


@pytest.mark.parametrize(("change", "reason"), WEIGHTS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_weights_that_do_not_fit_the_base_are_refused(adapter, targets, change, reason):
    change_tensors(adapter, change)
    assert reason in refusal(adapter, targets)


def test_files_that_are_missing_or_broken_are_named(adapter, targets):
    (adapter / "adapter_model.safetensors").write_bytes(b"nothing")
    assert "adapter_model.safetensors cannot be read" in refusal(adapter, targets)
    (adapter / "adapter_model.safetensors").unlink()
    assert "has neither adapter_model.safetensors nor adapter_model.bin" in refusal(adapter, targets)
    (adapter / "adapter_config.json").write_text("[")
    assert "adapter_config.json cannot be read" in refusal(adapter, targets)
    (adapter / "adapter_config.json").unlink()
    assert "has no adapter_config.json" in refusal(adapter, targets)


def test_weights_of_torch_save_are_those_of_safetensors_and_code_in_them_is_not_run(adapter, targets):
    tensors = load_file(adapter / "adapter_model.safetensors")
    (adapter / "adapter_model.safetensors").unlink()
    torch.save(tensors, adapter / "adapter_model.bin")
    layer = read_adapter(adapter, "sql", targets).layers[MODULE.removeprefix("base_model.model.")]
    assert torch.equal(layer.a, tensors[f"{MODULE}.lora_A.weight"])
    torch.save({"code": print}, adapter / "adapter_model.bin")
    assert "adapter_model.bin" in refusal(adapter, targets)


@pytest.mark.parametrize("pattern", [r".*\.(q|k|v|o)_proj|.*\.(gate|up|down)_proj", "all-linear"])
def test_target_modules_may_be_a_regular_expression(adapter, targets, pattern):
    change_config(adapter, target_modules=pattern)
    assert len(read_adapter(adapter, "sql", targets).layers) == 3 * len(ALL)
