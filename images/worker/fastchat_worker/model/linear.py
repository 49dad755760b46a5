"""Linear layers for the CPU, with weights laid out once for oneDNN instead of at every call.

Measured on two AVX-512 cores with SmolLM2-135M: 1.0 times the speed of torch's own at one row, about 3 times from 4
rows on. `torch.compile` uses the same two operators.
"""

import torch
from torch import Tensor, nn

_SMALLEST = 1 << 16  # elements; below it the layout makes no difference


class PackedLinear(nn.Module):
    """Computes what the `nn.Linear` it was made from computes; the weights cannot be read back."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias = linear.bias

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, "none", [], "")
        return out


@torch.inference_mode()
def pack_linears(model: nn.Module) -> None:
    """Replaces the large float32 linear layers of a model on the CPU, in place. Elsewhere it does nothing."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear and _packable(child.weight):
                setattr(module, name, PackedLinear(child))


def _packable(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.numel() >= _SMALLEST
