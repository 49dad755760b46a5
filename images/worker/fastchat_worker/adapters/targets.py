"""The linear layers of a base model that an adapter can add to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from fastchat_worker.model.linear import PackedLinear


@dataclass(frozen=True)
class Shape:
    """Numbers that go into a linear layer and come out of it."""

    inputs: int
    outputs: int

    def __str__(self) -> str:
        return f"{self.inputs} → {self.outputs}"


@dataclass(frozen=True)
class Targets:
    """What an adapter's weights are compared with.

    architecture: the name of its class. shapes: of the layers that an adapter can add to, by their names. Those left
    out: the head, and experts of a mixture, which not every row goes through.
    """

    architecture: str
    shapes: Mapping[str, Shape]


def targets_of(model: Any) -> Targets:
    """Of a model that transformers has loaded."""
    return Targets(type(model).__name__, dict(_linears(model)))


def _linears(model: Any) -> Iterator[tuple[str, Shape]]:
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if module is head or ".experts." in name:
            continue
        if isinstance(module, nn.Linear | PackedLinear):
            yield name, Shape(module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            yield name, Shape(module.nx, module.nf)
