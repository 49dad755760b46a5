"""An adapter for the native model, laid out for its kernels."""

import ctypes
from collections.abc import Iterator, Mapping
from itertools import groupby

import torch
from torch import Tensor

from fastchat_worker.native.description import Description, Part
from fastchat_worker.native.library import FUSED, LowRank, check, library

Pair = tuple[Tensor, Tensor]


class NativeAdapter:
    """What is added to the linear layers of a native model.

    layers: by the layers' names in transformers' model a [rank, inputs] and b [outputs, rank].
    Raises: MemoryError, and ValueError where they do not fit the model.
    """

    def __init__(self, model: ctypes.c_void_p, description: Description, layers: Mapping[str, Pair]) -> None:
        self._free = library().fc_adapter_free
        handle = library().fc_adapter_new(model)
        if not handle:
            raise MemoryError("the native executor gets no memory for an adapter")
        self.address: int = handle
        for index, parts in _parts(description, layers):
            _set(self.address, index, parts)

    def __del__(self) -> None:
        if address := getattr(self, "address", None):
            self._free(address)


def _parts(description: Description, layers: Mapping[str, Pair]) -> Iterator[tuple[int, list[tuple[Part, Pair]]]]:
    """For each layer those of its linear layers that are adapted, of each kind that is computed together."""
    names = {id(module): name for name, module in description.model.named_modules()}
    for index in range(len(description.layers)):
        adapted = [(part, names[id(part.linear)]) for part in description.linears(index)]
        found = [(part, layers[name]) for part, name in adapted if name in layers]
        for _, together in groupby(found, lambda each: FUSED[each[0].name]):
            yield index, list(together)


def _set(adapter: int, index: int, parts: list[tuple[Part, Pair]]) -> None:
    kept, given = [], []
    for part, (a, b) in parts:
        rows = b[part.rows or slice(None)].to(torch.float32).contiguous()
        numbers = a.to(torch.float32).contiguous()
        kept += [rows, numbers]  # the library copies them
        given.append(LowRank(part.name, a.shape[0], rows.shape[0], a.shape[1], numbers.data_ptr(), rows.data_ptr()))
    check(library().fc_adapter_set(adapter, index, (LowRank * len(given))(*given), len(given)))
