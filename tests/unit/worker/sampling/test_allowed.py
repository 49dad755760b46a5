"""Logits of tokens that a grammar leaves out."""

import math

import numpy as np
import pytest
import torch

from fastchat_worker.sampling.allowed import restrict
from fastchat_worker.sampling.parameters import Choice
from fastchat_worker.sampling.sampler import sample


def _allowed(tokens: set[int], vocabulary: int = 64) -> np.ndarray:
    bits = np.array([token in tokens for token in range(vocabulary)])
    return np.packbits(bits, bitorder="little").view(np.uint32)


@pytest.mark.parametrize("width", [40, 64, 100], ids=["fewer logits", "as many", "more logits"])
@pytest.mark.parametrize("others", [0, 2], ids=["all rows", "some rows"])
def test_nothing_but_the_allowed_tokens_is_left(width, others):
    tokens = [{0, 7, 31, 32, 39}, {33}, set()]
    choices = [Choice(allowed=_allowed(each)) for each in tokens] + [Choice()] * others
    logits = torch.randn(len(choices), width)
    before = logits.clone()
    restrict(logits, choices)
    for row, each in enumerate(tokens):
        assert set(logits[row].isfinite().nonzero()[:, 0].tolist()) == each
        assert torch.equal(logits[row, list(each)], before[row, list(each)])
    assert torch.equal(logits[3:], before[3:])


@pytest.mark.parametrize("fields", [{}, {"temperature": 1.0}, {"temperature": 2.0, "top_p": 0.9, "top_k": 5}])
def test_what_is_allowed_is_chosen_however_small_it_is(fields):
    logits = torch.full((3, 64), 50.0)
    logits[:, 9] = -50
    choices = [Choice(**fields, mask={9: -100.0}, allowed=_allowed({9})), Choice(), Choice(allowed=_allowed(set()))]
    assert sample(logits, choices)[0] == 9
    assert sample(logits, choices)[2] is None


def test_a_row_that_is_no_number_stays_so():
    assert sample(torch.full((1, 64), math.nan), [Choice(allowed=_allowed({3}))]) == [None]
