"""What reading a prompt's beginning once saves: a chat of five turns, and 16 requests with one system prompt.

    python benchmarks/prefixes.py [--rounds 3] [--only torch,native]

SmolLM2-135M in float32, with reuse and without in turn; medians.
"""

import argparse
import copy
import logging
import random
import statistics
import threading
import time
from collections.abc import Callable

from engines import models
from engines.with_fastchat import loaded

from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.selection.executor import select
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.settings import Settings

MOST_TIME, MOST_TOKENS = 0.3, 1.2
"""Of the time to first token without reuse, at turn five; of the tokens of one request, for 16 of them."""
TURNS, SAID, REPLIED, SYSTEM, REQUESTS = 5, 60, 48, 1000, 16
"""Tokens that the user says in a turn and that come back; of a system prompt; requests that have it in common."""
SLOTS, MAX_LEN = 16, 2048
Tokens = list[int]
Words = Callable[[int, int], Tokens]
"""(seed, number) → so many tokens of a text."""


class Contender:
    """Our engine, with reuse or without."""

    def __init__(self, runner, *, reuse: bool) -> None:
        self.name = "with reuse" if reuse else "without"
        cache = runner.open_cache(SLOTS, MAX_LEN, SLOTS * MAX_LEN if reuse else 0)
        self.engine = Engine(runner, Scheduler(cache, Settings.max_batched_tokens, max_waiting=99))
        self.engine.start()

    def answer(self, prompts: list[Tokens], tokens: int) -> tuple[list[Sequence], float]:
        """The sequences, and the seconds until the last of them had its first token."""
        done = threading.Semaphore(0)
        sequences = [Sequence(each, tokens, listener=lambda _, finish: finish and done.release()) for each in prompts]
        began = time.monotonic()
        self.engine.submit(sequences)
        for _ in sequences:
            done.acquire()
        return sequences, max(each.decode_at for each in sequences) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--only", default="torch,native", help="executors, by commas")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    model = loaded(models.shipped())
    tokens = range(100, model.vocabulary)
    for name in args.only.split(","):
        print(f"\nprefixes, {name}")
        compare_prefixes(
            lambda name=name: select(copy.deepcopy(model.model), name, "none"),
            lambda seed, number: random.Random(seed).choices(tokens, k=number),
            args.rounds,
        )


def compare_prefixes(make_runner: Callable[[], object], words: Words, rounds: int) -> None:
    """Prints what reuse saves, and whether it saves enough."""
    contenders = [Contender(make_runner(), reuse=reuse) for reuse in (True, False)]
    for contender in contenders:
        contender.answer([words(0, 8)], 4)  # warm
    compare_chats(contenders, words, rounds)
    compare_system_prompts(contenders, words, rounds)


def compare_chats(contenders: list[Contender], words: Words, rounds: int) -> None:
    """A chat of five turns: the median of the rounds' times to the first token of the last turn."""
    runs = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            prompt, seconds = [], 0.0
            for turn in range(TURNS):
                prompt += words(1 + number * TURNS + turn, SAID)
                (reply,), seconds = contender.answer([prompt], REPLIED)
                prompt = [*prompt, *reply.tokens]
            runs[contender.name].append(seconds)
    with_reuse, without = (statistics.median(runs[contender.name]) for contender in contenders)
    length = TURNS * SAID + (TURNS - 1) * REPLIED
    print(f"turn {TURNS} of a chat, {length} tokens: first token after {1000 * with_reuse:.0f} ms, ", end="")
    print(f"without reuse {1000 * without:.0f} ms: {with_reuse / without:.2f}x, ", end="")
    print(f"at most {MOST_TIME:.2f}x: {'reached' if with_reuse / without <= MOST_TIME else 'MISSED'}")


def compare_system_prompts(contenders: list[Contender], words: Words, rounds: int) -> None:
    """16 requests at the same instant that begin with one system prompt: tokens read, and until all have a token."""
    for contender in contenders:
        seconds, read = [], []
        for number in range(rounds):
            system = words(1001 + number, SYSTEM)
            prompts = [[*system, *words(2001 + at, 10)] for at in range(REQUESTS)]
            before = contender.engine.tokens_read
            seconds.append(contender.answer(prompts, 4)[1])
            read.append(contender.engine.tokens_read - before)
        tokens = statistics.median(read)
        share = tokens / len(prompts[0])
        first = statistics.median(seconds)
        print(f"{REQUESTS} requests with a system prompt of {SYSTEM} tokens, {contender.name}: ", end="")
        print(f"{tokens:.0f} tokens read, {share:.2f}x of one's; until all have a token: {first:.2f} s")
        if contender is contenders[0]:
            print(f"     at most {MOST_TOKENS:.2f}x: {'reached' if share <= MOST_TOKENS else 'MISSED'}")


if __name__ == "__main__":
    main()
