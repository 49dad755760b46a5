"""On which devices a test runs: on the CPU always, and where there are GPUs on those."""

import pytest
import torch
from cluster.skips import NotHere

DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))
"""`make gpu` runs what has the mark; on the CPU the same test is its rehearsal."""


def need(device: str, number: int = 1) -> str:
    """The device, of which so many are wanted. Raises: NotHere where there are fewer GPUs."""
    there = torch.cuda.device_count() if device == "cuda" else number
    if there < number:
        raise NotHere(f"{number} GPUs are wanted and torch finds {there}")
    return device
