"""Tokens are drawn from long rows as a plain reading of top_k, top_p and min_p says."""

import random

import numpy as np
import pytest
import torch

from fastchat_worker.sampling.draw import draw
from fastchat_worker.sampling.noise import uniform
from fastchat_worker.sampling.parameters import Choice
from fastchat_worker.sampling.sampler import sample
from fastchat_worker.sampling.top import top


def _plainly(logits, choice: Choice) -> int:
    """The token, by float64 and a whole sort; without truncation tokens are in the order of their ids."""
    weights = np.exp((logits.double().numpy() - float(logits.max())) / choice.temperature)
    order = np.argsort(-weights) if choice.truncates else np.arange(len(weights))
    left = weights[order][: choice.top_k or None]
    left = left[left >= choice.min_p * weights.max()]
    left = left[left.cumsum() - left < choice.top_p * left.sum()]
    place = np.searchsorted(left.cumsum(), uniform(choice.seed, choice.position) * left.sum(), side="right")
    return int(order[place])


def _choice(chance: random.Random) -> Choice:
    pick = chance.choice
    return Choice(
        temperature=pick((0.3, 0.8, 1.0, 2.0)),
        top_p=pick((1.0, 1.0, 0.5, 0.9, 0.99)),
        top_k=pick((0, 0, 3, 40, 64, 65, 500)),
        min_p=pick((0.0, 0.0, 0.3, 0.02, 1e-4)),
        seed=chance.getrandbits(64),
        position=chance.randrange(999),
    )


@pytest.mark.parametrize("vocabulary", [40, 211, 5_003, 32_000])
def test_every_row_gets_what_a_plain_reading_draws(vocabulary):
    chance, noise = random.Random(vocabulary), torch.Generator().manual_seed(vocabulary)
    choices = [_choice(chance) for _ in range(60)]
    # The rows are padded, as the native executor has them.
    padded = torch.randn(60, vocabulary + 13, generator=noise) * torch.tensor([[1.0], [3.0]] * 30)
    logits = padded[:, :vocabulary].clone()
    expected = [_plainly(row, choice) for row, choice in zip(logits, choices, strict=True)]
    assert sample(padded[:, :vocabulary], choices) == expected
    assert [sample(row[None].clone(), [choice])[0] for row, choice in zip(logits, choices, strict=True)] == expected


@pytest.mark.parametrize("width", [3, 256, 300, 4_000])
@pytest.mark.parametrize("point", [0.0, 1 - 2**-53])
def test_what_has_no_weight_is_never_drawn(width, point):
    weights = torch.zeros(1, width)
    weights[0, width // 2] = 1e-3
    assert draw(weights, torch.tensor([[point]], dtype=torch.float64)).tolist() == [width // 2]


@pytest.mark.parametrize("number", [1, 5, 64, 65])
@pytest.mark.parametrize("width", [70, 20_000, 20_031])
def test_the_greatest_are_those_of_a_whole_sort(number, width):
    values = torch.randn(7, width + 9, generator=torch.Generator().manual_seed(width))[:, :width]
    found, at = top(values, number)
    assert torch.equal(found, values.sort(descending=True).values[:, :number])
    assert torch.equal(values.gather(1, at), found)
