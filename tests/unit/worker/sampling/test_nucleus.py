"""Tokens are drawn from long rows as a plain reading of top_k, top_p and min_p says."""

import random

import numpy as np
import pytest
import torch

from fastchat_worker.sampling.draw import BLOCK, BLOCKS_AT, WITHIN_AT, draw
from fastchat_worker.sampling.noise import Noise
from fastchat_worker.sampling.parameters import Choice
from fastchat_worker.sampling.sampler import sample
from fastchat_worker.sampling.top import top


def _plainly(logits, choice: Choice) -> int:
    """The token, by float64 and a whole sort; where nothing is left out, of many first a block of neighbours."""
    weights = np.exp((logits.double().numpy() - float(logits.max())) / choice.temperature)
    noise = Noise.of([(choice.seed, choice.position)])
    if not choice.truncates:
        return _plainly_of_all(weights, noise)
    order = np.argsort(-weights)
    left = weights[order][: choice.top_k or None]
    left = left[left >= choice.min_p * weights.max()]
    left = left[left.cumsum() - left < choice.top_p * left.sum()]
    return int(order[(left / noise.exponentials(order[: len(left)])[0]).argmax()])


def _plainly_of_all(weights, noise: Noise) -> int:
    if len(weights) <= 2 * BLOCK:
        return int((weights / noise.exponentials(np.arange(len(weights)))[0]).argmax())
    blocks = np.pad(weights, (0, -len(weights) % BLOCK)).reshape(-1, BLOCK)
    number = (blocks.sum(-1) / noise.exponentials(BLOCKS_AT + np.arange(len(blocks)))[0]).argmax()
    within = (blocks[number] / noise.exponentials(WITHIN_AT + np.arange(BLOCK))[0]).argmax()
    return int(number * BLOCK + within)


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
def test_what_has_no_weight_is_never_drawn(width):
    weights = torch.zeros(1, width)
    weights[0, width // 2] = 1e-3
    drawn = {draw(weights, Noise.of([(seed, 0)])).item() for seed in range(100)}
    assert drawn == {width // 2}


@pytest.mark.parametrize(
    "fields", [{}, {"top_p": 0.95}, {"top_k": 40}, {"min_p": 0.02}, {"top_p": 0.9, "temperature": 2}]
)
def test_what_is_drawn_hardly_ever_depends_on_the_last_digits_of_the_logits(fields):
    generator = torch.Generator().manual_seed(1)
    changed = 0
    for position in range(40):
        logits = torch.randn(50, 20_000, generator=generator) * 2.4
        noisy = logits + torch.randn(50, 20_000, generator=generator) * 1e-5
        choices = [Choice(**{"temperature": 1.0, "seed": row, "position": position, **fields}) for row in range(50)]
        before, after = sample(logits.clone(), choices), sample(noisy.clone(), choices)
        changed += sum(a != b for a, b in zip(before, after, strict=True))
    assert changed <= 2  # of 2,000; a point in the sum of all weights changes 30


@pytest.mark.parametrize("number", [1, 5, 64, 65])
@pytest.mark.parametrize("width", [70, 20_000, 20_031])
def test_the_greatest_are_those_of_a_whole_sort(number, width):
    values = torch.randn(7, width + 9, generator=torch.Generator().manual_seed(width))[:, :width]
    found, at = top(values, number)
    assert torch.equal(found, values.sort(descending=True).values[:, :number])
    assert torch.equal(values.gather(1, at), found)
