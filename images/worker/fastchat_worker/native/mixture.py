"""What each linear layer is kept in: most in one type, those that suffer most from few bits in a finer one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Format
from numpy.typing import NDArray
from torch import Tensor, nn

from fastchat_worker.native.description import Part
from fastchat_worker.native.library import FUSED, LinearName, Weights

_FORMATS = {
    Format.Q8_0: Weights.INT8,
    Format.Q4_0: Weights.INT4,
    Format.Q4_1: Weights.INT4,
    Format.Q4_K: Weights.INT4_BLOCKS,
}
"""Of a GGUF file, and what holds all of their numbers."""
_NAMES = {
    LinearName.QUERY: ("attn_q", "attn_qkv"),
    LinearName.KEY: ("attn_k", "attn_qkv"),
    LinearName.VALUE: ("attn_v", "attn_qkv"),
    LinearName.OUT: ("attn_output",),
    LinearName.GATE: ("ffn_gate", "ffn_up"),
    LinearName.UP: ("ffn_up",),
    LinearName.DOWN: ("ffn_down",),
}
"""Names of tensors of a GGUF file; the last one holds several layers' rows in some families."""
_ENDS = 2
"""Layers at each end whose MLPs are finer: errors there cost more than in the middle."""
_PANEL = 32
"""Outputs that stand together, of the widest kernels: they are kept in one type."""
_COMPARED = 64
"""Rows that tell whether a tensor of the file is what was loaded, and in which order."""


class FileTensor(Protocol):
    """One of a GGUF file. data: [outputs, bytes]."""

    @property
    def tensor_type(self) -> Format: ...

    @property
    def data(self) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Kept:
    """What a layer is kept in. blocks: [outputs, bytes] of a GGUF file, in this format; None: numbers are rounded."""

    weights: Weights
    format: int = 0
    blocks: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Mixture:
    """weights: of most layers. tensors: of the GGUF file that the model comes from, by their names.

    as_filed: the file says which layer is kept in what, and `weights` is for what it has in other formats.
    importances: what errors of the weights of each input count.
    """

    weights: Weights
    tensors: Mapping[str, FileTensor] = field(default_factory=dict)
    as_filed: bool = False
    importances: Mapping[nn.Linear, Tensor] = field(default_factory=dict)

    def of_layer(
        self, index: int, layers: int, parts: Sequence[Part], read: Callable[[Tensor], Tensor] = Tensor.detach
    ) -> list[Kept]:
        """For each of a layer's parts, of which those that are computed together come one after the other.

        read: as Description has it.
        """
        kept = [self._filed(index, part, read) or self._rounded(part, index, layers) for part in parts]
        together = groupby(zip(parts, kept, strict=True), lambda each: FUSED[each[0].name])
        return [each for _, fused in together for each in _aligned(list(fused))]

    def of_head(self, weight: Tensor, read: Callable[[Tensor], Tensor] = Tensor.detach) -> Kept:
        """Tokens are embedded by it too in many models, where its errors count twice: never in int4 of our making."""
        return self._find(("output.weight", "token_embd.weight"), lambda: read(weight), None) or Kept(
            _finer(self.weights)
        )

    def _rounded(self, part: Part, index: int, layers: int) -> Kept:
        at_end = index < _ENDS or index >= layers - _ENDS
        finer = part.name == LinearName.VALUE or (part.name == LinearName.DOWN and at_end)
        return Kept(_finer(self.weights) if finer else self.weights)

    def _filed(self, index: int, part: Part, read: Callable[[Tensor], Tensor]) -> Kept | None:
        names = [f"blk.{index}.{name}.weight" for name in _NAMES[part.name]]
        return self._find(names, lambda: read(part.linear.weight), part.rows)

    def _find(self, names: Iterable[str], read: Callable[[], Tensor], rows: slice | None) -> Kept | None:
        """The file's own blocks, where they can be kept as they are and are what `read` gives."""
        tensor = next((self.tensors[name] for name in names if name in self.tensors), None)
        if tensor is None or not self._takes(tensor.tensor_type):
            return None
        weight = read()
        for blocks in _orders(tensor.data, weight.shape[0]):
            if blocks.shape[0] == weight.shape[0] and _same(blocks, tensor.tensor_type, weight):
                chosen = np.ascontiguousarray(blocks[rows or slice(None)])
                return Kept(_FORMATS[tensor.tensor_type], int(tensor.tensor_type), chosen)
        return None

    def _takes(self, found: Format) -> bool:
        weights = _FORMATS.get(found)
        few = (Weights.INT4, Weights.INT4_BLOCKS)
        return weights is not None and (self.as_filed or weights == self.weights or {weights, self.weights} <= set(few))


def _finer(weights: Weights) -> Weights:
    return Weights.INT8 if weights.quantized else weights


def _aligned(parts: list[tuple[Part, Kept]]) -> list[Kept]:
    """All in int8 where a panel would be of two types; gates and what they let through stand in the same panels."""
    kept = [each for _, each in parts]
    sizes = [_outputs(part) for part, _ in parts]
    if len({each.weights for each in kept}) == 1:
        return kept
    if parts[0][0].name != LinearName.GATE and not any(size % _PANEL for size in sizes):
        return kept
    return [each if each.weights == Weights.INT8 else Kept(Weights.INT8) for each in kept]


def _outputs(part: Part) -> int:
    return len(range(part.linear.weight.shape[0])[part.rows or slice(None)])


def _orders(blocks: NDArray[np.uint8], outputs: int) -> Iterable[NDArray[np.uint8]]:
    """The rows as they are, and with the halves of each head apart, as Llama's queries and keys are turned here."""
    yield blocks
    for size in (64, 128, 32, 96, 256, 80, 16):
        if outputs % size == 0:
            yield blocks.reshape(-1, size // 2, 2, blocks.shape[-1]).swapaxes(1, 2).reshape(blocks.shape)


def _same(blocks: NDArray[np.uint8], form: Format, weight: Tensor) -> bool:
    rows = np.unique(np.linspace(0, len(blocks) - 1, _COMPARED).astype(int))
    numbers = torch.from_numpy(gguf.dequantize(np.ascontiguousarray(blocks[rows]), form))
    return torch.equal(numbers.to(weight.dtype), weight[rows])
