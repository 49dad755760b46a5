"""Chooses the next token of every row of a batch from its logits."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fastchat_worker.sampling.allowed import restrict, rows_of
from fastchat_worker.sampling.draw import draw
from fastchat_worker.sampling.edits import add_masks, penalize_repetition
from fastchat_worker.sampling.noise import Noise
from fastchat_worker.sampling.nucleus import draw_truncated
from fastchat_worker.sampling.parameters import Choice


@torch.inference_mode()
def sample(logits: Tensor, choices: Sequence[Choice]) -> list[int | None]:
    """One token for each row of logits [choices, vocabulary] float32, which this changes in place.

    None for a row that has a NaN, plus infinity, or nothing but minus infinity. What is drawn for a row does not depend
    on the others.
    """
    penalize_repetition(logits, choices)
    add_masks(logits, choices)
    restrict(logits, choices)
    tokens = _likeliest(logits)
    greatest = logits.gather(1, tokens[:, None])  # NaN where the row has one
    finite = greatest[:, 0].isfinite().tolist()
    for truncates in (False, True):
        if rows := [i for i, choice in enumerate(choices) if choice.draws and choice.truncates == truncates]:
            at, chosen = rows_of(rows, logits), [choices[row] for row in rows]
            weights = _weights(logits[at], greatest[at], chosen)
            noise = Noise.of([(choice.seed, choice.position) for choice in chosen])
            tokens[at] = draw_truncated(weights, noise, chosen) if truncates else draw(weights, noise)
    return [token if valid else None for token, valid in zip(tokens.tolist(), finite, strict=True)]


def _likeliest(logits: Tensor) -> Tensor:
    """[rows]: the first of the greatest; where a row has a NaN, that one."""
    if logits.device.type == "cpu":  # numpy's takes a thirtieth of the time of torch 2.15's
        return torch.from_numpy(logits.numpy().argmax(-1))
    return logits.argmax(-1)


def _weights(logits: Tensor, greatest: Tensor, choices: Sequence[Choice]) -> Tensor:
    """Each token's probability over that of the likeliest, in place of the logits."""
    temperature = _column([choice.temperature for choice in choices], logits)
    # The maximum goes first: a temperature near zero must not divide into infinity.
    return logits.sub_(greatest).div_(temperature).exp_()


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
