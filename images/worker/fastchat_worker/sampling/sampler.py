"""Chooses the next token of every row of a batch from its logits."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fastchat_worker.sampling.allowed import restrict
from fastchat_worker.sampling.noise import uniform
from fastchat_worker.sampling.parameters import Choice

_CANDIDATES = 1024  # the nucleus is looked for among so many tokens before the whole vocabulary is sorted


@torch.inference_mode()
def sample(logits: Tensor, choices: Sequence[Choice]) -> list[int | None]:
    """One token for each row of logits [choices, vocabulary] float32, which this changes in place.

    None for a row that has a NaN, plus infinity, or nothing but minus infinity.
    """
    _penalize_repetition(logits, choices)
    _add_masks(logits, choices)
    restrict(logits, choices)
    tokens = _likeliest(logits)
    greatest = logits.gather(1, tokens[:, None])  # NaN where the row has one
    whole = [i for i, choice in enumerate(choices) if choice.draws and not choice.truncates]
    truncated = [i for i, choice in enumerate(choices) if choice.truncates]
    if whole:
        chosen = [choices[i] for i in whole]
        tokens[whole] = _draw(_probabilities(logits[whole], greatest[whole], chosen), chosen)
    if truncated:
        chosen = [choices[i] for i in truncated]
        weights, candidates = _truncate(_probabilities(logits[truncated], greatest[truncated], chosen), chosen)
        tokens[truncated] = candidates.gather(1, _draw(weights, chosen)[:, None])[:, 0]
    finite = greatest[:, 0].isfinite().tolist()
    return [token if valid else None for token, valid in zip(tokens.tolist(), finite, strict=True)]


def _penalize_repetition(logits: Tensor, choices: Sequence[Choice]) -> None:
    """Divides the positive logits of the tokens seen, and multiplies the negative ones (arXiv:1909.05858)."""
    for row, choice in enumerate(choices):
        if choice.repetition_penalty != 1:
            seen = torch.tensor(choice.seen, dtype=torch.long, device=logits.device)
            seen = seen[seen < logits.shape[-1]]
            values = logits[row, seen]
            penalty = choice.repetition_penalty
            logits[row, seen] = torch.where(values > 0, values / penalty, values * penalty)


def _add_masks(logits: Tensor, choices: Sequence[Choice]) -> None:
    """Adds every row's mask at once; tokens outside the vocabulary are left out."""
    vocabulary = logits.shape[-1]
    edits = [(row, *edit) for row, choice in enumerate(choices) for edit in choice.mask.items() if edit[0] < vocabulary]
    if edits:
        rows, tokens, values = zip(*edits, strict=True)
        logits[list(rows), list(tokens)] += torch.tensor(values, dtype=logits.dtype, device=logits.device)


def _likeliest(logits: Tensor) -> Tensor:
    """[rows]: the first of the greatest; where a row has a NaN, that one."""
    if logits.device.type == "cpu":  # numpy's takes a thirtieth of the time of torch 2.15's
        return torch.from_numpy(logits.numpy().argmax(-1))
    return logits.argmax(-1)


def _probabilities(logits: Tensor, greatest: Tensor, choices: Sequence[Choice]) -> Tensor:
    temperature = _column([choice.temperature for choice in choices], logits)
    # The maximum goes first: a temperature near zero must not divide into infinity.
    return ((logits - greatest) / temperature).softmax(-1)


def _truncate(probabilities: Tensor, choices: Sequence[Choice]) -> tuple[Tensor, Tensor]:
    """The weights that min_p, top_k and top_p leave, in this order, likeliest first, and their tokens.

    [rows, candidates] each. top_p is a share of what the other two leave.
    """
    vocabulary = probabilities.shape[-1]
    top_k = _column([choice.top_k or vocabulary for choice in choices], probabilities)
    top_p = _column([choice.top_p for choice in choices], probabilities)
    min_p = _column([choice.min_p for choice in choices], probabilities)
    width = min(vocabulary, _CANDIDATES)
    weights, tokens = probabilities.topk(width)
    # Whether tokens beyond the candidates may stay in, as far as min_p and top_k say.
    open_ended = (top_k > width) & (weights[:, -1:] >= min_p * weights[:, :1])
    if width < vocabulary and bool((open_ended & (weights.sum(-1, keepdim=True) < top_p)).any()):
        weights, tokens = probabilities.sort(descending=True)
        open_ended = torch.zeros_like(open_ended)
    rank = torch.arange(weights.shape[-1], device=weights.device)[None]
    weights = weights * ((rank < top_k) & (weights >= min_p * weights[:, :1]))
    left = torch.where(open_ended, 1.0, weights.sum(-1, keepdim=True))
    before = weights.cumsum(-1) - weights
    return weights * (before < top_p * left), tokens


def _draw(weights: Tensor, choices: Sequence[Choice]) -> Tensor:
    """[rows]: an index into each row, with the probability of its weight, by the row's own seed and position."""
    cumulative = weights.cumsum(-1, dtype=torch.float64)
    point = _column([uniform(choice.seed, choice.position) for choice in choices], cumulative) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, point, right=True)[:, 0].clamp(max=weights.shape[-1] - 1)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
