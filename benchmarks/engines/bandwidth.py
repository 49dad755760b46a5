"""How fast this machine reads its memory."""

import time

import torch

COLUMNS = 1024


def gigabytes_per_second(size: int, threads: int, passes: int = 10, device: str = "cpu") -> float:
    """The best of several passes in which all threads together, or a GPU, read this many bytes.

    What reads is a matrix times a vector, as a step with one sequence is: torch's maximum or sum of as many numbers
    read half as fast, because they compute more than they read.
    """
    torch.set_num_threads(threads)
    matrix = torch.ones(size // 4 // COLUMNS, COLUMNS, device=device)
    vector = torch.ones(COLUMNS, device=device)
    best = min(_seconds(matrix, vector) for _ in range(passes))
    return size / best / 1e9


def _seconds(matrix: torch.Tensor, vector: torch.Tensor) -> float:
    started = time.perf_counter()
    (matrix @ vector)[0].item()  # which waits for a GPU
    return time.perf_counter() - started
