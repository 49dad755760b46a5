"""What GPUs have, and how many sequences there is room for."""

from dataclasses import dataclass

from fastchat.cli.plan.model import Model

GPUS = {
    "T4": 15360,
    "V100 16 GB": 16384,
    "L4": 23034,
    "A10G": 23028,
    "RTX 4090": 24564,
    "RTX 5090": 32607,
    "A100 40 GB": 40960,
    "L40S": 46068,
    "A100 80 GB": 81920,
    "H100 80 GB": 81559,
    "RTX PRO 6000": 97887,
    "H200": 143771,
    "B200": 183359,
    "MI300X": 196592,
}
"""Memory in MiB, as nvidia-smi and rocm-smi tell it."""

_COUNTS = (1, 2, 4, 8)
_CONTEXT = 600 * 2**20
"""Bytes that CUDA and its kernels take on each GPU before any weight is there."""
_CACHE_SHARE = 0.8
"""Of what the weights leave: the worker keeps the rest for activations."""


@dataclass(frozen=True)
class Fit:
    """How a model fits a kind of GPU."""

    gpu: str
    memory: int
    """Bytes of one."""
    count: int
    """GPUs that it takes, for at least one sequence; 0: eight are too few."""
    sequences: int
    """That there is room for on so many."""


def fits(model: Model, dtype: str, length: int, gpus: dict[str, int]) -> list[Fit]:
    """For each kind of GPU, the fewest on which a sequence of this length has room."""
    return [_fit(model, dtype, length, name, mebibytes * 2**20) for name, mebibytes in gpus.items()]


def _fit(model: Model, dtype: str, length: int, name: str, memory: int) -> Fit:
    for count in _COUNTS:
        if model.key_heads % count:  # the worker gives each GPU whole heads
            continue
        if room := sequences(model, dtype, length, memory, count):
            return Fit(name, memory, count, room)
    return Fit(name, memory, 0, 0)


def sequences(model: Model, dtype: str, length: int, memory: int, count: int = 1) -> int:
    """How many of this length there is room for on so many GPUs of so many bytes."""
    weights, token = model.each_bytes(dtype, count)
    return max(int((memory - _CONTEXT - weights) * _CACHE_SHARE / token) // length, 0)
