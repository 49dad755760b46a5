"""What is measured of an engine, and its medians."""

import random
import statistics
from dataclasses import dataclass

from engines.contenders import Contender, Result


@dataclass(frozen=True)
class Figures:
    """Medians of one engine at one size; times in seconds."""

    first: float
    first_cpu: float
    per_cpu_second: float
    per_second: float
    step: float  # from one token to the next

    @classmethod
    def of(cls, runs: list[tuple[Result, Result]], tokens: int) -> "Figures":
        """runs: with one new token, and with so many."""
        made = tokens * len(runs[0][1].made)
        return cls(
            statistics.median(first.wall for first, _ in runs),
            statistics.median(first.cpu for first, _ in runs),
            statistics.median(made / whole.cpu for _, whole in runs),
            statistics.median(made / whole.wall for _, whole in runs),
            statistics.median((whole.wall - first.wall) / (tokens - 1) for first, whole in runs),
        )


Table = dict[tuple[int, int], dict[str, Figures]]
"""By the length of the prompts and how many they are: the figures of each engine."""


def some_prompts(size: int, length: int, vocabulary: int) -> list[list[int]]:
    """Always the same tokens."""
    numbers = random.Random(length)
    return [[numbers.randrange(1000, vocabulary) for _ in range(length)] for _ in range(size)]


def take_turns(
    contenders: dict[str, Contender], prompts: list[list[int]], tokens: int, rounds: int
) -> dict[str, Figures]:
    """Each has so many turns, the first of them to get warm not counted."""
    runs: dict[str, list[tuple[Result, Result]]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender.measure(prompts, 2)
    for _ in range(rounds):
        for name, contender in contenders.items():
            runs[name].append((contender.measure(prompts, 1), contender.measure(prompts, tokens)))
    return {name: Figures.of(values, tokens) for name, values in runs.items()}
