"""How far one sequence is in its grammar, and which tokens may follow."""

from collections.abc import Sequence

import numpy as np
from llguidance import LLExecutor, LLMatcher
from numpy.typing import NDArray

Words = NDArray[np.uint32]
"""A bit for each token of the vocabulary, the lowest of the first word for token 0."""

_LONGEST_REASON = 300  # characters


class GrammarError(ValueError):
    """A grammar cannot be used; the message says why."""


class GrammarState:
    """The state of one sequence; the engine's thread calls it. It holds no tensors. `ends` are the end tokens."""

    def __init__(self, matcher: LLMatcher, executor: LLExecutor, ends: Words) -> None:
        self.matcher = matcher
        self.executor = executor
        self._ends = ends

    @property
    def words(self) -> int:
        """So many words have a bit for each token."""
        return len(self._ends)

    def accept(self, token: int) -> None:
        """The token, which is no end token, was chosen."""
        self.matcher.consume_token(token)

    @property
    def complete(self) -> bool:
        """Nothing but an end may follow."""
        return self.matcher.is_stopped() and not self.matcher.is_error()

    def must_end(self, allowed: Words) -> bool:
        """Whether what it allows is nothing but end tokens."""
        return not (allowed & ~self._ends).any()

    @property
    def error(self) -> str:
        """Why it cannot go on; empty where it can."""
        return reason(self.matcher) if self.matcher.is_error() else ""


def reason(matcher: LLMatcher) -> str:
    """One line of why a matcher failed, without the grammar that llguidance quotes."""
    lines = [line.strip() for line in matcher.get_error().splitlines() if line.strip()] or ["unknown"]
    named = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
    return "no text keeps it" if named.startswith("NoExtension") else named[:_LONGEST_REASON]


def allowed_tokens(states: Sequence[GrammarState | None]) -> list[Words | None]:
    """The tokens that may follow in each of these states of one model, an end token where the text may end.

    None where there is no state; no token at all in one that cannot go on. Computed on several threads at once.
    """
    given = [state for state in states if state]
    if not given:
        return [None] * len(states)
    rows = np.zeros((len(given), given[0].words), np.uint32)
    matchers = [(state.matcher, row) for row, state in enumerate(given)]
    given[0].executor.unsafe_compute_mask_ptr(matchers, rows.ctypes.data, rows[0].nbytes, len(rows))
    for row, state in zip(rows, given, strict=True):
        if state.matcher.is_error():
            row[:] = 0
    found = iter(rows)
    return [next(found) if state else None for state in states]
