"""What is added to logits, by what was generated."""

import math

import pytest

from fastchat_worker.sampling.constraint import Penalties
from fastchat_worker.sampling.parameters import Sampling


def _mask(*tokens: int, **sampling) -> dict[int, float]:
    penalties = Penalties(Sampling(**sampling))
    for token in tokens:
        penalties.accept(token)
    return dict(penalties.mask())


def test_without_bias_and_penalties_nothing_is_added():
    assert _mask(1, 2, 1) == {}


def test_presence_counts_a_token_once_and_frequency_each_time():
    assert _mask(1, 2, 1, presence_penalty=1.5) == {1: -1.5, 2: -1.5}
    assert _mask(1, 2, 1, frequency_penalty=0.5) == {1: -1.0, 2: -0.5}


def test_penalties_come_on_top_of_the_bias():
    mask = _mask(1, presence_penalty=0.5, frequency_penalty=0.25, logit_bias={1: 10.0, 3: -100.0})
    assert mask == {1: pytest.approx(9.25), 3: -100.0}


def test_a_requests_bias_is_not_changed():
    bias = {1: 10.0}
    _mask(1, presence_penalty=0.5, logit_bias=bias)
    assert bias == {1: 10.0}


def test_end_tokens_are_banned_until_there_are_enough_and_keep_their_bias():
    penalties = Penalties(Sampling(min_tokens=2, logit_bias={7: 3.0}), end_tokens=[7, 8])
    masks = [dict(penalties.mask())]
    for token in (1, 1, 1):
        penalties.accept(token)
        masks.append(dict(penalties.mask()))
    assert masks == [{7: -math.inf, 8: -math.inf}] * 2 + [{7: 3.0}] * 2


def test_repetition_is_about_prompt_and_completion_and_has_each_token_once():
    penalties = Penalties(Sampling(repetition_penalty=1.2), prompt=[5, 6, 5])
    for token in (6, 9, 9):
        penalties.accept(token)
    assert penalties.seen == [5, 6, 9]


def test_without_repetition_penalty_nothing_is_remembered():
    penalties = Penalties(Sampling(), prompt=[5, 6, 5])
    penalties.accept(9)
    assert penalties.seen == []
