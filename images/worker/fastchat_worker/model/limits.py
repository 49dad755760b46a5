"""How many tokens a model takes, by its configuration."""

from collections.abc import Mapping
from typing import Any

from fastchat_worker.errors import LoadError

_KEYS = ("max_position_embeddings", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx")
"""By which configurations of different architectures say it; the first that is there counts."""
_STRETCHED = ("linear", "yarn")
"""Kinds of RoPE scaling whose factor multiplies what was trained.

For `llama3` and `longrope` max_position_embeddings is the stretched length already. `dynamic` changes the frequencies
of all sequences with the length of the longest, so that one request would change another's answer: its factor is not
used, and up to max_position_embeddings it changes nothing.
"""
_UNLIMITED = 1 << 20  # tokens; tokenizers without a limit give a number with thirty digits


def context_limit(config: Any, tokenizer_limit: int) -> int:
    """Longest prompt and completion together, in tokens.

    config: transformers', of the text model. tokenizer_limit: what the tokenizer says, for models that do not say it.
    """
    stated = next((value for key in _KEYS if isinstance(value := getattr(config, key, None), int) and value > 0), None)
    if stated is None:
        return min(tokenizer_limit, _UNLIMITED)
    return max([stated, *(_stretched(scaling, stated) for scaling in _scalings(config))])


def check_limit(wanted: int | None, limit: int, name: str) -> None:
    """Raises: LoadError where `--max-model-len` is beyond the model's own limit."""
    if wanted is not None and wanted > limit:
        raise LoadError(
            f"--max-model-len {wanted} is beyond the {limit} tokens that {name} takes by its configuration: lower it"
        )


def _scalings(config: Any) -> list[Mapping[str, Any]]:
    """RoPE parameters of the layers: one mapping, or one for each kind of layer."""
    scaling = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    nested = [each for each in scaling.values() if isinstance(each, Mapping)]
    return nested or [scaling]


def _stretched(scaling: Mapping[str, Any], stated: int) -> int:
    if (scaling.get("rope_type") or scaling.get("type")) not in _STRETCHED:
        return stated
    trained = scaling.get("original_max_position_embeddings") or stated
    return int(trained * float(scaling.get("factor") or 1))
