"""Weights that stand in a GGUF file."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gguf
import numpy as np
import torch
from gguf import quants
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import modeling_gguf_pytorch_utils as legacy

from fastchat_worker.model.gguf import by_rows
from fastchat_worker.model.gguf_file import GgufFile, StoredTensor
from fastchat_worker.model.unread.weights import Source
from fastchat_worker.native.unpacking import unpacked as native_unpacked

_BY_TOKEN = ("token_embd.weight", "output.weight")
"""Of their rows some can be read without the others, because transformers leaves them where they are."""
_HEADS = {"num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv"}
"""What transformers asks its configuration for when it undoes what llama.cpp's converter did to weights."""


def gguf_sources(model: nn.Module, file: GgufFile) -> Mapping[str, Source]:
    """Those of a model's parameters that the file has, by name; each becomes what transformers makes of it."""
    architecture = str(file.fields["general.architecture"].contents())
    stated = {name: file.fields.get(f"{architecture}.{key}") for name, key in _HEADS.items()}
    config = {name: field.contents() for name, field in stated.items() if field is not None}
    processor = legacy.TENSOR_PROCESSORS.get(architecture, legacy.TensorProcessor)(config=config)
    names: Mapping[str, str] = legacy.get_gguf_hf_weights_map(model, processor)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    return {
        names[tensor.name]: partial(_read, tensor, processor)
        for tensor in file.tensors
        if tensor.name in names and shapes.get(names[tensor.name]) == tuple(reversed(tensor.shape))
    }


def _read(tensor: StoredTensor, processor: Any, rows: Sequence[int] | None) -> Tensor:
    early = rows is not None and tensor.name in _BY_TOKEN
    data = tensor.data[rows] if early else tensor.data
    weights = processor.process(weights=unpacked(data, tensor.tensor_type), name=tensor.name).weights
    read = torch.from_numpy(np.require(weights, requirements=["C", "W"]))
    return read if rows is None or early else read[list(rows)]


def unpacked(data: NDArray[Any], kind: gguf.GGMLQuantizationType) -> NDArray[np.float32]:
    """[rows, numbers]: those of packed rows, as gguf's `dequantize` unpacks them. A file's float32 is not copied.

    Raises: NotImplementedError for a kind that gguf cannot unpack.
    """
    fast = native_unpacked(data, kind)
    if fast is not None:
        return fast
    traits = quants._type_traits.get(kind)
    if traits is None:
        plain: NDArray[np.float32] = gguf.dequantize(data, kind)
        return plain
    traits.init_grid()
    shape = gguf.quant_shape_from_byte_shape(data.shape, kind)
    return by_rows(traits.dequantize_rows, data, np.float32, shape)
