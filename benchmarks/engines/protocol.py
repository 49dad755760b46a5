"""What an engine under measurement says: lines of JSON, a request on standard input, a result on standard output."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

Prompts = list[list[int]]
Generate = Callable[[], list[list[int]]]
Session = Callable[[Prompts, int], AbstractContextManager[Generate]]


def serve(name: str, session: Session) -> None:
    """Says the name, then measures what it is asked to generate until standard input ends.

    session: for prompts and a number of new tokens, what generates them, made ready outside the measured time.
    A result has the CPU time of all threads and the time that passed, in seconds, and the new tokens.
    """
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print where they like
    print(json.dumps({"name": name}), file=results, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with session(request["prompts"], request["tokens"]) as generate:
            cpu, wall = time.process_time(), time.perf_counter()
            made = generate()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert all(len(tokens) == request["tokens"] for tokens in made)
        print(json.dumps({"cpu": cpu, "wall": wall, "made": made}), file=results, flush=True)
