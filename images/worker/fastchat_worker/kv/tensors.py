"""The tensors of dense slots: keys and values of every running sequence."""

import math
import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from fastchat_worker.kv.edits import Clear, Copy, Edit, Move, Rotate


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What one attention layer stores for a token: `heads` keys of `key_size` and values of `value_size` elements."""

    heads: int
    key_size: int
    value_size: int

    @property
    def elements(self) -> int:
        return self.heads * (self.key_size + self.value_size)


class SlotTensors:
    """Tensors [slots, heads, max_len + spare, size] per layer, kept by the layer's index in the model; zeros at first.

    On the CPU the memory is taken from the system as it is first written, so long contexts cost only what they use.
    """

    def __init__(
        self,
        layers: dict[int, LayerShape],
        slots: int,
        max_len: int,
        dtype: torch.dtype,
        device: torch.device,
        spare: int = 0,
    ) -> None:
        self.max_len, length = max_len, max_len + spare
        self.keys, self.values = {}, {}
        for index, shape in layers.items():
            self.keys[index] = lazy_zeros((slots, shape.heads, length, shape.key_size), dtype, device)
            self.values[index] = lazy_zeros((slots, shape.heads, length, shape.value_size), dtype, device)

    def apply(self, edits: Iterable[Edit]) -> None:
        for edit in edits:
            for tensor in (*self.keys.values(), *self.values.values()):
                _apply(edit, tensor)


def bytes_per_token(layers: dict[int, LayerShape], dtype: torch.dtype) -> int:
    """Cache bytes that one token of one sequence takes."""
    return sum(shape.elements for shape in layers.values()) * dtype.itemsize


def _apply(edit: Edit, tensor: torch.Tensor) -> None:
    match edit:
        case Move(source, target, length):
            moved = tensor[source, :, :length]
            tensor[target, :, :length] = moved
            moved.zero_()
        case Rotate(slots, lengths):
            _rotate(tensor, slots, lengths)
        case Copy(source, target, length):
            tensor[target, :, :length] = tensor[source, :, :length]
        case Clear(slot, end, first):
            tensor[slot, :, first:end].zero_()


def _rotate(tensor: torch.Tensor, slots: Sequence[int], lengths: Sequence[int]) -> None:
    """A slot is zero behind its tokens, so as many as the longer of two has are right for both."""
    first = tensor[slots[0], :, : lengths[0]].clone()
    for (target, had), (source, gives) in pairwise(zip(slots, lengths, strict=True)):
        length = max(had, gives)
        tensor[target, :, :length] = tensor[source, :, :length]
    tensor[slots[-1], :, : lengths[0]] = first
    tensor[slots[-1], :, lengths[0] : lengths[-1]].zero_()


def lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros; on the CPU the memory is taken from the system page by page, as it is first written."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # torch.zeros writes every page, and numpy's zeros take huge ones: the first token of a slot would cost megabytes.
    memory = mmap.mmap(-1, math.prod(shape) * dtype.itemsize, **_PRIVATE)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):  # Linux
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}  # not on Windows
