"""Log probabilities of tokens: those of the model's own distribution, before temperature, penalties and truncation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fastchat_worker.sampling.parameters import Choice
from fastchat_worker.sampling.score import Score
from fastchat_worker.sampling.top import top

_ROWS = 64  # that are normalised at a time, so that a chunk of a prompt does not take its logits' memory again


@dataclass(frozen=True, slots=True)
class RawRows:
    """The logits of the rows whose choices want log probabilities, as the model gave them."""

    rows: Sequence[int]
    logits: Tensor


def keep_raw(logits: Tensor, choices: Sequence[Choice]) -> RawRows | None:
    """A copy of the rows of logits that `scores_of` needs; None where no choice wants log probabilities."""
    rows = [row for row, choice in enumerate(choices) if choice.logprobs is not None]
    return RawRows(rows, logits[rows]) if rows else None


def scores_of(raw: RawRows | None, choices: Sequence[Choice], tokens: Sequence[int | None]) -> tuple[Score | None, ...]:
    """For each choice the score of the token chosen for it; None where it wants none or got no token.

    Empty where no choice wants one.
    """
    if raw is None:
        return ()
    chosen = [tokens[row] or 0 for row in raw.rows]
    found = score(raw.logits, chosen, [choices[row].logprobs or 0 for row in raw.rows])
    scores: list[Score | None] = [None] * len(choices)
    for row, each in zip(raw.rows, found, strict=True):
        scores[row] = None if tokens[row] is None else each
    return tuple(scores)


def score(logits: Tensor, tokens: Sequence[int], tops: Sequence[int]) -> list[Score]:
    """For each row of logits [rows, vocabulary] the log probability of its token, and of its so many likeliest ones."""
    scores: list[Score] = []
    for first in range(0, len(tokens), _ROWS):
        last = first + _ROWS
        scores += _score(logits[first:last].float(), tokens[first:last], tops[first:last])
    return scores


def _score(logits: Tensor, tokens: Sequence[int], tops: Sequence[int]) -> list[Score]:
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0].tolist()
    values, ids = top(logprobs, min(max(tops), logprobs.shape[-1]))
    rows = zip(chosen, tops, values.tolist(), ids.tolist(), strict=True)
    return [Score(own, tuple(likely[:number]), tuple(best[:number])) for own, number, best, likely in rows]
