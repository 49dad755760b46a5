"""RoPE as a model was trained with it, where transformers would compute another."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from fastchat_worker.model.gguf_file import GgufFile

_SCALED = ("linear", "yarn")
"""What llama.cpp and transformers call by the same names."""


def settle(model: nn.Module, max_len: int) -> None:
    """Decides, for sequences of at most so many tokens, which frequencies a model with `longrope` uses.

    By itself it takes the long ones in every step that has a long sequence in it and the short ones in others, for all
    sequences of the step: their keys would be of both kinds, and what one request gets would depend on its neighbours.
    """
    for rotary in _rotaries(model):
        if rotary.rope_type == "longrope":
            rotary.inv_freq.copy_(ROPE_INIT_FUNCTIONS["longrope"](rotary.config, rotary.inv_freq.device, max_len)[0])
            rotary.rope_type = "default"  # which computes none anew


def scale_as_stated(config: Any, file: GgufFile) -> None:
    """Sets what a GGUF file says of scaling: transformers 5.23 reads it for one architecture only."""
    stated = _scaling(file)
    parameters = getattr(config, "rope_parameters", None)
    if stated and parameters and parameters.get("rope_type", "default") == "default":
        config.rope_parameters = {**parameters, **stated}


def divide_frequencies(model: nn.Module, file: GgufFile) -> None:
    """Applies a GGUF file's factors of the frequencies, by which it has the scaling of Llama 3.1 and later."""
    factors = next((tensor.data for tensor in file.tensors if tensor.name == "rope_freqs.weight"), None)
    if factors is not None:
        for rotary in _rotaries(model):
            rotary.inv_freq.div_(torch.tensor(factors, device=rotary.inv_freq.device))


def _rotaries(model: nn.Module) -> Iterator[Any]:
    """The modules that compute rotary embeddings of one kind for all layers."""
    for module in model.modules():
        kind, frequencies = getattr(module, "rope_type", None), getattr(module, "inv_freq", None)
        if isinstance(kind, str) and isinstance(frequencies, Tensor):
            yield module


def _scaling(file: GgufFile) -> Mapping[str, Any]:
    """In transformers' words; empty where there is none. The length that a file states is the stretched one."""
    kind = _value(file, "rope.scaling.type")
    if kind not in _SCALED:
        return {}
    factor = float(_value(file, "rope.scaling.factor") or 1)
    stated = _value(file, "context_length") or 0
    trained = _value(file, "rope.scaling.original_context_length") or (stated if kind == "yarn" else stated / factor)
    return {"rope_type": kind, "factor": factor, "original_max_position_embeddings": int(trained)}


def _value(file: GgufFile, name: str) -> Any:
    field = file.fields.get(f"{file.fields['general.architecture'].contents()}.{name}")
    return None if field is None else field.contents()
