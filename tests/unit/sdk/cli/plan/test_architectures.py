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
LATENT = {
    "kv_lora_rank": 32,
    "q_lora_rank": 48,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 24,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 40,
    "first_k_dense_replace": 1,
}
OWN: dict[str, dict[str, Any]] = {
    "deepseek_v2": LATENT | {"q_lora_rank": None},
    "deepseek_v3": LATENT | {"n_group": 1, "topk_group": 1, "attention_bias": True},
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


DEEPSEEK_V2_LITE = {
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "kv_lora_rank": 512,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "vocab_size": 102400,
    "torch_dtype": "bfloat16",
}
DEEPSEEK_V3 = DEEPSEEK_V2_LITE | {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "first_k_dense_replace": 3,
    "vocab_size": 129280,
}


def test_deepseeks_models_have_the_published_numbers_of_parameters() -> None:
    """15.7 and 671 billion; the layer that V3 predicts further tokens by is not loaded, and not among them."""
    assert [read(config).parameters for config in (DEEPSEEK_V2_LITE, DEEPSEEK_V3)] == [15_706_484_224, 671_026_404_352]


def test_vllm_keeps_what_keys_and_values_are_made_from() -> None:
    planned = read(DEEPSEEK_V3)
    assert planned.vllm_token_bytes("bfloat16") == 61 * (512 + 64) * 2
    assert planned.token_bytes("bfloat16") == 61 * 128 * (192 + 128) * 2


@pytest.mark.parametrize("kind", FAMILIES)
def test_each_gpu_has_all_of_attention_where_transformers_plan_does_not_share_it_out(kind: str) -> None:
    rules = transformers.AutoConfig.for_model(kind).base_model_tp_plan or {}
    shared_out = any("attn" in rule or "attention" in rule for rule in rules)
    assert FAMILIES[kind].whole_attention == (bool(rules) and not shared_out)


def test_gpus_that_do_not_share_out_attention_have_no_more_room_for_its_cache() -> None:
    planned = read(DEEPSEEK_V3)
    weights, token = planned.each_bytes("bfloat16", 8)
    attention = round(planned.whole_share * planned.parameters)
    assert token == planned.token_bytes("bfloat16")
    assert weights == pytest.approx(2 * (attention + (planned.parameters - attention) / 8))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "the architecture (not named) is not known"),
        ({"model_type": "llama", "hidden_size": "x"}, "no hidden_size"),
        ({"model_type": "deepseek_v3", "hidden_size": 8, "num_attention_heads": 1}, "no qk_nope_head_dim"),
    ],
)
def test_what_describes_no_language_model_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        read(config)


def test_what_stays_quantised_takes_its_bits() -> None:
    plain = {"model_type": "llama", **SIZES, "hidden_size": 1024, "num_hidden_layers": 8, "tie_word_embeddings": True}
    packed = read(plain | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}})
    assert 3.5 < read(plain).weight_bytes("float16") / packed.weight_bytes("float16") < 4
