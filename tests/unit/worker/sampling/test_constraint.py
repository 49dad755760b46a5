"""What is added to logits, by what was generated."""

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
