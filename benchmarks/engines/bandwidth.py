"""How fast this machine reads its memory."""

import time

import torch


def gigabytes_per_second(size: int, threads: int, passes: int = 10, device: str = "cpu") -> float:
    """The best of several passes in which all threads together, or a GPU, read this many bytes."""
    torch.set_num_threads(threads)
    numbers = torch.ones(size // 4, device=device)
    best = min(_seconds(numbers) for _ in range(passes))
    return size / best / 1e9


def _seconds(numbers: torch.Tensor) -> float:
    started = time.perf_counter()
    numbers.max().item()  # which waits for a GPU
    return time.perf_counter() - started
