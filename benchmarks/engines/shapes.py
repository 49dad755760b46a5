"""Llamas of random weights, by the sizes of models that are published: what a step costs does not depend on weights."""

import json
from pathlib import Path

import torch
from engines.environments import cache
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {
    "8b": {
        "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192,
    },
    "1b": {
        "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192,
    },
    "tiny": {
        "vocab_size": 2048, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
    },
}  # fmt: skip
"""Those of Llama 3.1 8B and Llama 3.2 1B (untied), and one for rehearsals."""


def described(shape: str) -> Path:
    """A folder with the configuration and no weights."""
    folder = cache() / "shapes" / shape
    folder.mkdir(parents=True, exist_ok=True)
    config = LlamaConfig(**SHAPES[shape], dtype="bfloat16", bos_token_id=0, eos_token_id=1).to_dict()
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForCausalLM"]}))
    return folder


def parameters(shape: str) -> int:
    """Weights that a step of one sequence reads: all but the table of tokens, of which it reads a row."""
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**SHAPES[shape]))
    return sum(each.numel() for each in model.parameters()) - model.get_input_embeddings().weight.numel()


def random_model(folder: Path, device: str) -> LlamaForCausalLM:
    """In bfloat16, made on the device; always the same weights there."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return LlamaForCausalLM(LlamaConfig.from_pretrained(folder)).eval()
    finally:
        torch.set_default_dtype(torch.float32)
