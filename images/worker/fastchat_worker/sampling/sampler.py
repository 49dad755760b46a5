"""Chooses the next token of every row from its logits."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

import torch
from torch import Tensor

from fastchat_worker.sampling.parameters import Sampling

_CANDIDATES = 1024  # the nucleus is looked for among so many tokens before the whole vocabulary is sorted


class Sampled(Protocol):
    """What the next token of a row depends on beside its logits. `counts`: how often it has which token already."""

    @property
    def sampling(self) -> Sampling: ...

    @property
    def counts(self) -> Mapping[int, int]: ...

    @property
    def random(self) -> Random: ...


@torch.inference_mode()
def sample(logits: Tensor, sequences: Sequence[Sampled]) -> list[int]:
    """One token for each row of logits [sequences, vocabulary] float32, which this changes in place."""
    for row, sequence in enumerate(sequences):
        _edit(logits[row], sequence)
    tokens = logits.argmax(-1)
    whole = [i for i, s in enumerate(sequences) if s.sampling.temperature > 0 and not _truncates(s)]
    truncated = [i for i, s in enumerate(sequences) if s.sampling.temperature > 0 and _truncates(s)]
    if whole:
        chosen = [sequences[i] for i in whole]
        tokens[whole] = _draw(_probabilities(logits[whole], chosen), chosen)
    if truncated:
        chosen = [sequences[i] for i in truncated]
        weights, candidates = _truncate(_probabilities(logits[truncated], chosen), chosen)
        tokens[truncated] = candidates.gather(1, _draw(weights, chosen)[:, None])[:, 0]
    return tokens.tolist()


def _edit(logits: Tensor, sequence: Sampled) -> None:
    """Bias and penalties as in OpenAI's reference; penalties count the generated tokens."""
    sampling = sequence.sampling
    edits = {token: bias for token, bias in sampling.logit_bias.items() if token < len(logits)}
    if sampling.presence_penalty or sampling.frequency_penalty:
        for token, count in sequence.counts.items():
            penalty = sampling.presence_penalty + sampling.frequency_penalty * count
            edits[token] = edits.get(token, 0.0) - penalty
    if edits:
        index = torch.tensor(list(edits), device=logits.device)
        logits[index] += torch.tensor(list(edits.values()), device=logits.device)


def _truncates(sequence: Sampled) -> bool:
    return sequence.sampling.top_p < 1 or sequence.sampling.top_k > 0


def _probabilities(logits: Tensor, sequences: Sequence[Sampled]) -> Tensor:
    temperature = _column([s.sampling.temperature for s in sequences], logits)
    # The maximum goes first: a temperature near zero must not divide into infinity.
    return ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)


def _truncate(probabilities: Tensor, sequences: Sequence[Sampled]) -> tuple[Tensor, Tensor]:
    """The weights that top_k and top_p leave, likeliest first, and their tokens: [rows, candidates] each."""
    vocabulary = probabilities.shape[-1]
    top_k = _column([s.sampling.top_k if s.sampling.top_k > 0 else vocabulary for s in sequences], probabilities)
    top_p = _column([s.sampling.top_p for s in sequences], probabilities)
    width = min(vocabulary, _CANDIDATES)
    weights, tokens = probabilities.topk(width)
    if width < vocabulary and bool(((weights.sum(-1, keepdim=True) < top_p) & (top_k > width)).any()):
        weights, tokens = probabilities.sort(descending=True)
    rank = torch.arange(weights.shape[-1], device=weights.device)[None]
    weights = weights * (rank < top_k)
    before = weights.cumsum(-1) - weights
    return weights * (before < top_p * weights.sum(-1, keepdim=True).clamp(max=1.0)), tokens


def _draw(weights: Tensor, sequences: Sequence[Sampled]) -> Tensor:
    """[rows]: an index into each row, with the probability of its weight, by the row's own random numbers."""
    cumulative = weights.cumsum(-1, dtype=torch.float64)
    point = _column([s.random.random() for s in sequences], cumulative) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, point, right=True)[:, 0].clamp(max=weights.shape[-1] - 1)


def _column(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
