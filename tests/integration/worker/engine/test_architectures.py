"""Greedy output equals `model.generate`'s, for every kind of attention a decoder may ask for."""

import random

import pytest
import torch
import transformers

from fastchat_worker.engine.sequence import Sequence

SMALL = {
    "vocab_size": 211,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": None,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 12,
    "v_head_dim": 10,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
}
ARCHITECTURES = {
    "Llama": {},
    "Mistral": {"sliding_window": 9},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "Qwen2": {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    "Qwen3": {"head_dim": 16},
    "Gemma2": {"head_dim": 16, "sliding_window": 9, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0},
    "Gemma3Text": {"head_dim": 16, "sliding_window": 9},
    "Phi3": {"sliding_window": 9},
    "Olmo2": {},
    "GptOss": {"head_dim": 16, "sliding_window": 9, "num_local_experts": 4, "num_experts_per_tok": 2},
    "GPTNeoX": {},
    "DeepseekV2": LATENT,
    "DeepseekV3": LATENT | {"q_lora_rank": 20, "n_group": 1, "topk_group": 1},
    "GPT2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 512},
    "OPT": {"word_embed_proj_dim": 32, "ffn_dim": 64},
}


def _model(name: str):
    """A small model of this architecture with random weights."""
    torch.manual_seed(0)
    config = getattr(transformers, name + "Config")
    settings = {**SMALL, **ARCHITECTURES[name]}
    if name == "GPT2":
        settings = {
            key: value for key, value in settings.items() if not key.startswith(("hidden", "interm", "num_", "max_"))
        }
    model = transformers.AutoModelForCausalLM.from_config(config(**settings)).eval()
    model.generation_config = transformers.GenerationConfig()
    return model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_eight_different_requests_get_what_each_gets_alone(name, run_engine, generate_alone):
    model = _model(name)
    chance = random.Random(3)
    prompts = [[chance.randrange(3, 211) for _ in range(length)] for length in (1, 3, 7, 12, 20, 33, 50, 90)]
    alone = [generate_alone(model, prompt, 20 + i) for i, prompt in enumerate(prompts)]
    running = run_engine(model, slots=5, budget=16)
    together = running.generate([Sequence(prompt, 20 + i) for i, prompt in enumerate(prompts)])
    assert together == alone


def test_a_model_without_the_attention_interface_is_refused_by_name(run_engine):
    config = transformers.BloomConfig(vocab_size=99, hidden_size=32, n_layer=2, n_head=4)
    with pytest.raises(Exception, match=r"BloomForCausalLM .* engine VLLM"):
        run_engine(transformers.BloomForCausalLM(config))


def test_a_model_with_other_state_than_keys_and_values_is_refused_by_name(run_engine):
    config = transformers.MambaConfig(vocab_size=99, hidden_size=32, num_hidden_layers=2, state_size=4)
    with pytest.raises(Exception, match=r"MambaForCausalLM .* engine VLLM"):
        run_engine(transformers.MambaForCausalLM(config))
