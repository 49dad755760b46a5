"""Which token is chosen from given logits."""

import math
from collections import Counter

import pytest
import torch

from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.sampling.parameters import Sampling
from fastchat_worker.sampling.sampler import sample

LOGITS = [0.0, 3.0, 2.0, 1.0, -1.0]


def _sequence(**sampling) -> Sequence:
    return Sequence([0], 99, sampling=Sampling(**sampling))


def _draws(count: int = 2000, logits=LOGITS, **sampling) -> Counter[int]:
    sequence = _sequence(seed=1, **sampling)
    return Counter(sample(torch.tensor([logits]), [sequence])[0] for _ in range(count))


def test_temperature_zero_takes_the_likeliest_token():
    assert sample(torch.tensor([LOGITS]), [_sequence(temperature=0.0)]) == [1]


def test_draws_follow_the_softmax_of_the_logits():
    counts = _draws(4000, temperature=1.0)
    weights = [math.exp(x) for x in LOGITS]
    for token, weight in enumerate(weights):
        assert counts[token] / 4000 == pytest.approx(weight / sum(weights), abs=0.03)


def test_temperature_flattens_the_distribution():
    assert _draws(temperature=2.0)[1] < _draws(temperature=0.5)[1]


def test_top_k_leaves_only_so_many_tokens():
    assert set(_draws(top_k=2)) == {1, 2}


def test_top_p_leaves_the_smallest_set_that_reaches_it():
    # softmax is about .03 .62 .23 .08 .01
    assert set(_draws(top_p=0.5)) == {1}
    assert set(_draws(top_p=0.7)) == {1, 2}


def test_a_tiny_top_p_leaves_the_likeliest():
    assert set(_draws(200, top_p=1e-9)) == {1}


def test_a_nucleus_wider_than_the_first_candidates_is_not_cut():
    flat = [0.0] * 5000
    assert max(_draws(3000, flat, top_p=0.9)) > 1024
    assert len(_draws(3000, flat, top_k=3000)) > 1024


def test_a_temperature_near_zero_is_no_overflow():
    assert set(_draws(50, temperature=1e-9)) == {1}


def test_the_same_seed_draws_the_same_tokens():
    def tokens(seed):
        sequence = _sequence(seed=seed)
        return [sample(torch.tensor([LOGITS]), [sequence])[0] for _ in range(30)]

    assert tokens(4) == tokens(4)
    assert tokens(4) != tokens(5)


def test_a_draw_does_not_depend_on_the_other_rows():
    def tokens(others):
        sequence = _sequence(seed=3, top_p=0.9)
        rows = [sequence, *(_sequence(seed=9) for _ in range(others))]
        return [sample(torch.tensor([LOGITS] * len(rows)), rows)[0] for _ in range(30)]

    assert tokens(0) == tokens(3)


def test_presence_penalty_counts_a_token_once_and_frequency_penalty_each_time():
    for sampling, expected in ({"presence_penalty": 1.5}, 2), ({"frequency_penalty": 0.4}, 1):
        sequence = _sequence(temperature=0.0, **sampling)
        for _ in range(2):
            sequence.append(1)
        assert sample(torch.tensor([LOGITS]), [sequence]) == [expected]


def test_logit_bias_bans_and_favours():
    assert sample(torch.tensor([LOGITS]), [_sequence(temperature=0.0, logit_bias={1: -100.0})]) == [2]
    assert sample(torch.tensor([LOGITS]), [_sequence(temperature=0.0, logit_bias={4: 100.0})]) == [4]


def test_a_bias_of_a_token_outside_the_vocabulary_changes_nothing():
    assert sample(torch.tensor([LOGITS]), [_sequence(temperature=0.0, logit_bias={99999: 100.0})]) == [1]
