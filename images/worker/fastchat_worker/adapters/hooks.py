"""Adapters in a model of torch: what is added to the outputs of its linear layers, row by row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fastchat_worker.adapters.adapter import LowRank

_FEW_ROWS, _NARROW = 64, 512
"""Up to so many rows with adapters, and ranks of one layer's adapters together, all of them are computed for all rows:
a handful of operators for each layer, however many adapters there are."""


@dataclass(frozen=True)
class _Layer:
    """Of one linear layer all adapters. a: [inputs, ranks]; b: [ranks, outputs]; spans: whose ranks are which."""

    a: Tensor
    b: Tensor
    spans: Mapping[str, slice]


class AdapterHooks:
    """Hooks on those layers that an adapter has been added for; for rows without one they do nothing."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._hooked: set[str] = set()
        self._adapters: dict[str, Mapping[str, LowRank]] = {}
        self._layers: dict[str, _Layer] = {}
        """By name; made where they are first needed after an adapter came or went."""
        self._rows: dict[str, Tensor] = {}
        """Of the step under way: the rows of each adapter."""
        self._adapted = torch.empty(0, dtype=torch.long)
        """All rows with one, adapter by adapter."""
        self._masks: dict[tuple[tuple[str, int, int], ...], Tensor] = {}

    def add(self, key: str, layers: Mapping[str, LowRank]) -> None:
        """From here on rows can name it."""
        like = {"device": self._model.device, "dtype": self._model.dtype}
        moved = {name: LowRank(layer.a.to(**like), layer.b.to(**like)) for name, layer in layers.items()}
        self._adapters = {**self._adapters, key: moved}
        self._layers = {}
        for name in layers.keys() - self._hooked:
            self._model.get_submodule(name).register_forward_hook(self._hook(name))
            self._hooked.add(name)

    def remove(self, key: str) -> None:
        """Lets go of an adapter that no row names any more."""
        self._adapters = {other: layers for other, layers in self._adapters.items() if other != key}
        self._layers = {}

    @contextmanager
    def rows(self, adapters: Sequence[str | None]) -> Iterator[None]:
        """For one pass. adapters: one for each row, None where the base is meant; empty where it is for all of them."""
        device, keys = self._model.device, dict.fromkeys(key for key in adapters if key is not None)
        self._rows = {
            key: torch.tensor([row for row, each in enumerate(adapters) if each == key], device=device) for key in keys
        }
        if self._rows:
            self._adapted = torch.cat([*self._rows.values()])
        try:
            yield
        finally:
            self._rows, self._masks = {}, {}

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if self._rows:
                x, out = inputs[0].reshape(-1, inputs[0].shape[-1]), output.view(-1, output.shape[-1])
                self._add(name, x, out)

        return hook

    def _add(self, name: str, x: Tensor, out: Tensor) -> None:
        layer = self._layer(name)
        if layer is None:
            return
        if len(self._adapted) <= _FEW_ROWS and layer.a.shape[1] <= _NARROW:
            projected = (x[self._adapted] @ layer.a).masked_fill(self._others(layer), 0)
            out.index_add_(0, self._adapted, projected @ layer.b)
            return
        for key, rows in self._rows.items():
            if span := layer.spans.get(key):
                out.index_add_(0, rows, x[rows] @ layer.a[:, span] @ layer.b[span])

    def _layer(self, name: str) -> _Layer | None:
        """None where the adapters that it was hooked for are gone."""
        known = self._layers  # an adapter that comes meanwhile puts another one in its place
        if name not in known:
            found = {key: layers[name] for key, layers in self._adapters.items() if name in layers}
            if not found:
                return None
            spans: dict[str, slice] = {}
            end = 0
            for key, layer in found.items():
                spans[key] = slice(end, end := end + layer.a.shape[0])
            a, b = torch.cat([each.a for each in found.values()]), torch.cat([each.b for each in found.values()], 1)
            known[name] = _Layer(a.T.contiguous(), b.T.contiguous(), spans)
        return known[name]

    def _others(self, layer: _Layer) -> Tensor:
        """[rows with an adapter, ranks]: whether a rank is of another adapter than the row's."""
        spans = tuple((key, span.start, span.stop) for key, span in layer.spans.items())
        if spans not in self._masks:
            mask = torch.ones(len(self._adapted), layer.a.shape[1], dtype=torch.bool, device=layer.a.device)
            first = 0
            for key, rows in self._rows.items():
                mask[first : first + len(rows), layer.spans.get(key, slice(0))] = False
                first += len(rows)
            self._masks[spans] = mask
        return self._masks[spans]
