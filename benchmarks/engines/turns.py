"""Two ways to run our engine, in turn: what such a benchmark is asked, and how a turn is measured."""

import argparse
import os
import random
import time
from collections.abc import Callable


def options(about: str | None) -> argparse.ArgumentParser:
    """--prompt, --tokens, --rounds and --threads."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--tokens", type=int, default=96, help="new tokens per sequence")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser


def some_prompts(number: int, length: int, vocabulary: int) -> list[list[int]]:
    """Always the same tokens."""
    numbers = random.Random(1)
    return [[numbers.randrange(1000, vocabulary) for _ in range(length)] for _ in range(number)]


def measure(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of CPU time of all threads, and seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall
