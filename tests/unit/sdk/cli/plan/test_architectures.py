"""What is planned from config.json is what the worker then takes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from fastchat.cli.plan.architectures import FAMILIES, read
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
