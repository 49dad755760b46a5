"""How large the inputs of each linear layer are, which says what an error of their weights costs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def measured(model: nn.Module) -> Iterator[dict[nn.Linear, Tensor]]:
    """Mean squares of the inputs of a model's linear layers, in float32 [inputs], while texts go through it."""
    found: dict[nn.Linear, Tensor] = {}
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hooks = [linear.register_forward_pre_hook(_adder(linear, found)) for linear in linears]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _adder(linear: nn.Linear, found: dict[nn.Linear, Tensor]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def add(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        squares = inputs[0].detach().float().reshape(-1, linear.in_features).square().mean(0)
        found[linear] = found[linear] + squares if linear in found else squares

    return add
