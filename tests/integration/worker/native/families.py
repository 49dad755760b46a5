"""Small random models of the families that the native executor computes, of sizes that fill no panel and no vector."""

from typing import Any

import torch
import transformers

SMALL = {
    "vocab_size": 211,
    "hidden_size": 72,
    "intermediate_size": 100,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
_LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
_LONG = {"short_factor": [1.0] * 6, "long_factor": [float(i) for i in range(1, 7)]}
_LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 64, **_LONG}
_GEMMA = {"head_dim": 20, "hidden_activation": "gelu_pytorch_tanh"}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("Llama", {}),
    "Llama, tied, with biases": ("Llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "Llama, a key for each query": ("Llama", {"num_key_value_heads": 6}),
    "Llama, one key for nine queries": (
        "Llama",
        {"num_attention_heads": 9, "num_key_value_heads": 1, "head_dim": 33 - 1},
    ),
    "Llama 3.1": ("Llama", {"rope_parameters": {**_LLAMA3, "original_max_position_embeddings": 64}}),
    "Llama, yarn": ("Llama", {"rope_parameters": _YARN}),
    "Llama, linear": ("Llama", {"rope_parameters": _LINEAR}),
    "Mistral": ("Mistral", {"sliding_window": 9, "head_dim": 12}),
    "Mistral without a window": ("Mistral", {"sliding_window": None, "head_dim": 40}),
    "Qwen 2": ("Qwen2", {"use_sliding_window": True, "sliding_window": 40, "max_window_layers": 1}),
    "Qwen 3": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    "Phi 3": ("Phi3", {"sliding_window": 9}),
    "Phi 3, long": ("Phi3", {"rope_parameters": _LONGROPE, "original_max_position_embeddings": 64}),
    "Phi 4 mini": (
        "Phi3",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    ),
    "Gemma": ("Gemma", _GEMMA),
    "Gemma 2": (
        "Gemma2",
        {**_GEMMA, "sliding_window": 9, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0},
    ),
    "Gemma 3": ("Gemma3Text", {**_GEMMA, "sliding_window": 9, "num_hidden_layers": 7}),
    "Granite": (
        "Granite",
        {
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.2,
            "residual_multiplier": 0.4,
            "logits_scaling": 2.5,
        },
    ),
    "SmolLM 3": ("SmolLM3", {"num_hidden_layers": 5, "no_rope_layer_interval": 4}),
}
"""Name → transformers' name, and what its configuration has besides SMALL."""


def family(name: str) -> Any:
    """The model of this family; the same weights each time, norms and biases among them."""
    torch.manual_seed(0)
    kind, settings = FAMILIES[name]
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **settings})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.generation_config = transformers.GenerationConfig()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms are all alike and biases are zero otherwise
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model
