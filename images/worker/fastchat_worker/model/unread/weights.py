"""Where the numbers of a model's parameters are."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

Source = Callable[[Sequence[int] | None], Tensor]
"""Reads a weight from its file: all of it, or these rows."""


class ModelWeights:
    """Of a model that has them."""

    def read(self, parameter: Tensor) -> Tensor:
        """The numbers of one of the model's parameters, which are not to be changed."""
        return parameter.detach()

    def rows(self, parameter: Tensor, rows: Sequence[int]) -> Tensor:
        """[rows, …]: some of them."""
        return parameter.detach()[list(rows)]

    def fill(self) -> None:
        """Gives the model its weights where it has none."""


class UnreadWeights(ModelWeights):
    """Of a model whose parameters are memory that nothing has written. What is read is of the parameter's type.

    What was read last is kept until something else is, because a layer may be made of parts of one parameter.
    """

    def __init__(self, model: nn.Module, sources: Mapping[str, Source]) -> None:
        """sources: for every parameter's name."""
        self._model = model
        self._sources = {id(parameter): sources[name] for name, parameter in model.named_parameters()}
        self._last: tuple[int, Tensor] = (0, torch.empty(0))

    def read(self, parameter: Tensor) -> Tensor:
        if self._last[0] != id(parameter):
            self._last = (0, self._last[1].new_empty(0))
            self._last = (id(parameter), self._sources[id(parameter)](None).to(parameter.dtype))
        return self._last[1]

    def rows(self, parameter: Tensor, rows: Sequence[int]) -> Tensor:
        return self._sources[id(parameter)](rows).to(parameter.dtype)

    @torch.no_grad()
    def fill(self) -> None:
        for parameter in self._model.parameters():
            parameter.copy_(self._sources[id(parameter)](None))
