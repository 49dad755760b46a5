"""What is planned from config.json is what the worker then takes."""

import json
import re
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from support.gguf_file import write_gguf

from fastchat.cli.errors import CommandError
from fastchat.cli.plan.architectures import FAMILIES, read
from fastchat.cli.plan.sources import describe
from fastchat_worker.engine.runner import Runner

SIZES = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
HEAD = {"head_dim": 24}
EXPERTS = {"num_experts": 4, "moe_intermediate_size": 48, "num_experts_per_tok": 2}
OWN: dict[str, dict[str, Any]] = {
    "gemma": HEAD,
    "gemma2": HEAD,
    "gemma3_text": HEAD,
    "gpt2": {"n_embd": 64, "n_inner": 96, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "gpt_neox": {"rotary_pct": 0.5},
    "gpt_oss": {**HEAD, "num_local_experts": 4},
    "llama": {"attention_bias": True, "mlp_bias": True, **HEAD},
    "mistral": HEAD,
    "mixtral": {"num_local_experts": 4},
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 32},
    "qwen2": {"tie_word_embeddings": True},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 80},
    "qwen3": HEAD,
    "qwen3_moe": {**EXPERTS, **HEAD, "mlp_only_layers": [1]},
}


def made(kind: str, **fields: Any) -> Any:
    """A small model of this architecture, of noise, as transformers has it."""
    config = transformers.AutoConfig.for_model(kind, **SIZES | OWN.get(kind, {}) | fields)
    if hasattr(config, "pad_token_id"):
        config.pad_token_id = None if kind != "opt" else 1
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@pytest.mark.parametrize("kind", FAMILIES)
def test_weights_and_cache_of_an_architecture_are_those_that_the_worker_has(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    model.config.save_pretrained(tmp_path)
    planned = read(json.loads((tmp_path / "config.json").read_text()))
    weights = sum(parameter.nbytes for parameter in model.parameters())
    assert planned.weight_bytes("float32") == pytest.approx(weights, rel=0.001)
    runner = Runner(model)
    runner.open_cache(slots=3, max_len=40)
    tensors = [*runner._tensors.keys.values(), *runner._tensors.values.values()]
    assert planned.token_bytes("float32") * 3 * 40 == sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("form", [gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.Q8_0])
def test_a_gguf_file_is_planned_as_transformers_unpacks_it(form: gguf.GGMLQuantizationType, tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", form=form)
    planned = describe(str(tmp_path))
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype="auto")
    assert planned.weight_bytes(planned.dtype) == sum(parameter.nbytes for parameter in model.parameters())
    assert planned.token_bytes(planned.dtype) == Runner(model.eval()).token_bytes


def test_where_config_json_leaves_out_what_is_usual_the_family_decides() -> None:
    """As the config.json of Qwen3-0.6B, and of GPT-2, have it on the hub."""
    qwen = {
        "model_type": "qwen3",
        "hidden_size": 1024,
        "head_dim": 128,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }
    gpt2 = {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257}
    assert [read(config).parameters for config in (qwen, gpt2)] == [596_049_920, 124_439_808]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "the architecture (not named) is not known"),
        ({"model_type": "llama", "hidden_size": "x"}, "no hidden_size"),
    ],
)
def test_what_describes_no_language_model_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        read(config)


def test_what_stays_quantised_takes_its_bits() -> None:
    plain = {"model_type": "llama", **SIZES, "hidden_size": 1024, "num_hidden_layers": 8, "tie_word_embeddings": True}
    packed = read(plain | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}})
    assert 3.5 < read(plain).weight_bytes("float16") / packed.weight_bytes("float16") < 4
