"""A small random Llama as a GGUF file, as llama.cpp's converter writes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

END = "<|end|>"
"""The end of a turn, a control token beside the end of a text."""
_SIZES = {"vocabulary": 261, "hidden": 32, "feed_forward": 48, "heads": 2}


def write_gguf(
    path: Path,
    *,
    layers: int = 2,
    extra: Mapping[str, Any] | None = None,
    without: str = "-",
    form: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    tensors: Mapping[str, NDArray[np.float32]] | None = None,
) -> Path:
    """Writes the file, 100 kB, and returns its path.

    extra: further metadata by key, numbers as they are. without: the beginning of names of tensors that are left out.
    tensors: further ones. form: of matrices whose rows have whole groups of 32, all but the last of an MLP.
    Tokens: 0 to 255 are bytes, then "<s>", "</s>", END, "[PAD]" and "he".
    """
    writer = gguf.GGUFWriter(path, "llama")
    hidden, vocabulary = _SIZES["hidden"], _SIZES["vocabulary"]
    writer.add_block_count(layers)
    writer.add_context_length(512)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(_SIZES["feed_forward"])
    writer.add_head_count(_SIZES["heads"])
    writer.add_head_count_kv(_SIZES["heads"])
    writer.add_rope_dimension_count(hidden // _SIZES["heads"])
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    _add_tokenizer(writer)
    for key, value in (extra or {}).items():
        (writer.add_string if isinstance(value, str) else writer.add_float32 if isinstance(value, float) else
         writer.add_uint32)(key, value)  # fmt: skip
    random = np.random.default_rng(0)
    for name, shape in _tensors(layers):
        if not name.startswith(without):
            weights = np.ones(shape) if "norm" in name else random.normal(0, 0.3, shape)
            written_as = gguf.GGMLQuantizationType.F32 if len(shape) == 1 or shape[1] % 32 else form
            writer.add_tensor(name, gguf.quantize(weights.astype(np.float32), written_as), raw_dtype=written_as)
    for name, values in (tensors or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<s>", "</s>", END, "[PAD]", "he"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith(("<", "[")) and len(token) > 1 else 1 for token in tokens])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("</s>"))


def _tensors(layers: int) -> list[tuple[str, tuple[int, ...]]]:
    hidden, wide, vocabulary = _SIZES["hidden"], _SIZES["feed_forward"], _SIZES["vocabulary"]
    square, norm = (hidden, hidden), (hidden,)
    block = {
        "attn_norm": norm,
        "ffn_norm": norm,
        **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), square),
        "ffn_gate": (wide, hidden),
        "ffn_up": (wide, hidden),
        "ffn_down": (hidden, wide),
    }
    blocks = [(f"blk.{i}.{name}.weight", shape) for i in range(layers) for name, shape in block.items()]
    around: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (vocabulary, hidden)),
        ("output_norm.weight", norm),
        ("output.weight", (vocabulary, hidden)),
    ]
    return [*around, *blocks]
