"""Adapters in a model of torch: what is added to the outputs of its linear layers, row by row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fastchat_worker.adapters.adapter import LowRank

_FEW_ROWS, _NARROW = 64, 512
"""A pass of up to so many rows computes all its adapters, of up to so many ranks together, for all rows: three
operators for each layer, however many adapters there are."""
_KEPT = 64
"""Ranks of the adapters that stay stacked, so that sequences which come and go do not have them stacked anew."""


@dataclass(frozen=True)
class _Layer:
    """The stacked adapters of a linear layer. a: [inputs, ranks]; b: [ranks, outputs]; spans: whose ranks are which."""

    a: Tensor
    b: Tensor
    spans: Mapping[str, slice]


class _Stack:
    """Adapters whose ranks stand side by side. keys: the most recently used first."""

    def __init__(self, adapters: Mapping[str, Mapping[str, LowRank]]) -> None:
        self.keys = tuple(adapters)
        self._adapters = adapters
        self._layers: dict[str, _Layer | None] = {}

    def layer(self, name: str) -> _Layer | None:
        """None where none of them is for it. Made where it is first needed."""
        if name not in self._layers:
            found = {key: layers[name] for key, layers in self._adapters.items() if name in layers}
            self._layers[name] = _stacked(found) if found else None
        return self._layers[name]


class _Pass:
    """One pass: whose adapter each of its rows runs with. stack: has all of them; None where each is for itself."""

    def __init__(self, adapters: Sequence[str | None], keys: Sequence[str], stack: _Stack | None, device: Any) -> None:
        self.keys, self.stack = frozenset(keys), stack
        self._adapters, self._device = adapters, device
        self.rows = {
            key: torch.tensor([row for row, each in enumerate(adapters) if each == key], device=device)
            for key in (() if stack else keys)
        }
        self._others: dict[tuple[tuple[str, int], ...], Tensor] = {}

    def others(self, layer: _Layer) -> Tensor:
        """[rows, ranks]: whether a rank is of another adapter than the row's; layers of the same ranks share it."""
        ranks = tuple((key, span.stop) for key, span in layer.spans.items())
        if ranks not in self._others:
            owners = [key for key, span in layer.spans.items() for _ in range(span.start, span.stop)]
            number = {key: index for index, key in enumerate(layer.spans)}
            rows = torch.tensor([number.get(key, -1) if key else -1 for key in self._adapters])
            mask = rows[:, None] != torch.tensor([number[key] for key in owners])
            self._others[ranks] = mask.to(self._device)
        return self._others[ranks]


class AdapterHooks:
    """Hooks on those layers that an adapter has been added for; for rows without one they do nothing."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._hooked: set[str] = set()
        self._adapters: dict[str, Mapping[str, LowRank]] = {}
        self._stack = _Stack({})
        self._pass: _Pass | None = None

    def add(self, key: str, layers: Mapping[str, LowRank]) -> None:
        """From here on rows can name it."""
        like = {"device": self._model.device, "dtype": self._model.dtype}
        moved = {name: LowRank(layer.a.to(**like), layer.b.to(**like)) for name, layer in layers.items()}
        self._adapters = {**self._adapters, key: moved}
        for name in layers.keys() - self._hooked:
            self._model.get_submodule(name).register_forward_hook(self._hook(name))
            self._hooked.add(name)

    def remove(self, key: str) -> None:
        """Lets go of an adapter that no row names any more."""
        self._adapters = {other: layers for other, layers in self._adapters.items() if other != key}
        if key in self._stack.keys:
            self._stack = _Stack({})

    @contextmanager
    def rows(self, adapters: Sequence[str | None]) -> Iterator[None]:
        """For one pass. adapters: one for each row, None where the base is meant; empty where it is for all of them."""
        if keys := [key for key in dict.fromkeys(adapters) if key is not None]:
            stack = self._stack_of(keys) if len(adapters) <= _FEW_ROWS else None
            self._pass = _Pass(adapters, keys, stack, self._model.device)
        try:
            yield
        finally:
            self._pass = None

    def _stack_of(self, keys: Sequence[str]) -> _Stack | None:
        """The stack that has these adapters; None where they are too wide for one."""
        stack, adapters = self._stack, self._adapters  # both may be replaced meanwhile
        if set(keys) <= set(stack.keys):
            return stack
        ranks = {key: max(layer.a.shape[0] for layer in adapters[key].values()) for key in keys}
        if sum(ranks.values()) > _NARROW:
            return None
        for key in filter(adapters.__contains__, stack.keys):
            ranks.setdefault(key, max(layer.a.shape[0] for layer in adapters[key].values()))
        while len(ranks) > len(keys) and sum(ranks.values()) > _KEPT:
            ranks.popitem()
        self._stack = _Stack({key: adapters[key] for key in ranks})
        return self._stack

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if self._pass:
                x, out = inputs[0].reshape(-1, inputs[0].shape[-1]), output.view(-1, output.shape[-1])
                self._add(self._pass, name, x, out)

        return hook

    def _add(self, step: _Pass, name: str, x: Tensor, out: Tensor) -> None:
        if step.stack:
            layer = step.stack.layer(name)
            if layer and not step.keys.isdisjoint(layer.spans):
                # Not multiplied by zero: what another adapter makes of the row may be infinite.
                out.addmm_((x @ layer.a).masked_fill_(step.others(layer), 0), layer.b)
            return
        for key, rows in step.rows.items():
            if pair := self._adapters[key].get(name):
                out.index_add_(0, rows, x[rows] @ pair.a.T @ pair.b.T)


def _stacked(pairs: Mapping[str, LowRank]) -> _Layer:
    spans: dict[str, slice] = {}
    end = 0
    for key, pair in pairs.items():
        spans[key] = slice(end, end := end + pair.a.shape[0])
    a, b = torch.cat([pair.a for pair in pairs.values()]), torch.cat([pair.b for pair in pairs.values()], 1)
    return _Layer(a.T.contiguous(), b.T.contiguous(), spans)
