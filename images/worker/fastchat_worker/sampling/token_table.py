"""The bytes of every token of a tokenizer, as llguidance needs them."""

from collections.abc import Collection
from typing import Any

from llguidance import LLTokenizer
from llguidance.hf import from_tokenizer


def token_table(tokenizer: Any, vocabulary: int, end_tokens: Collection[int]) -> LLTokenizer:
    """Of a tokenizer of transformers. `vocabulary` is the model's, which may be larger."""
    return from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(end_tokens))
