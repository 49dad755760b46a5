"""Which token is chosen from given logits."""

import math
from collections import Counter

import pytest
import torch

from fastchat_worker.sampling.parameters import Choice
from fastchat_worker.sampling.sampler import sample

NAN, INF = math.nan, math.inf
LOGITS = [0.0, 3.0, 2.0, 1.0, -1.0]


def _choice(position: int = 0, **fields) -> Choice:
    return Choice(**{"temperature": 1.0, "seed": 1, "position": position, **fields})


def _greedy(logits=LOGITS, **fields) -> int | None:
    return sample(torch.tensor([logits]), [_choice(temperature=0.0, **fields)])[0]


def _draws(count: int = 2000, logits=LOGITS, **fields) -> Counter[int | None]:
    """How often which token is drawn; in batches, because that is faster."""
    counts: Counter[int | None] = Counter()
    for first in range(0, count, 100):
        choices = [_choice(position, **fields) for position in range(first, first + 100)]
        counts.update(sample(torch.tensor([logits] * 100), choices))
    return counts


def test_temperature_zero_takes_the_likeliest_token():
    assert _greedy() == 1


def test_of_equals_the_first_is_taken():
    assert _greedy([0.0, 3.0, 3.0, 1.0]) == 1


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
    assert max(_draws(300, flat, top_p=0.9)) > 1024
    assert len(_draws(2000, flat, top_k=3000)) > 1024


def test_a_temperature_near_zero_is_no_overflow():
    assert set(_draws(100, temperature=1e-9)) == {1}


def test_seed_and_position_decide_what_is_drawn():
    def tokens(seed):
        return [sample(torch.tensor([LOGITS]), [_choice(position, seed=seed)])[0] for position in range(30)]

    assert tokens(4) == tokens(4)
    assert tokens(4) != tokens(5)
    assert len(set(tokens(4))) > 1


@pytest.mark.parametrize("fields", [{}, {"top_p": 0.9}, {"top_k": 3}])
def test_a_draw_does_not_depend_on_the_other_rows(fields):
    def tokens(others):
        rows = [_choice(seed=9, temperature=0.0), *(_choice(top_p=0.5, seed=9) for _ in range(others))]
        batches = ([*rows, _choice(position, seed=3, **fields)] for position in range(30))
        return [sample(torch.tensor([LOGITS] * len(batch)), batch)[-1] for batch in batches]

    assert tokens(0) == tokens(3)


def test_a_mask_bans_and_favours():
    assert _greedy(mask={1: -100.0}) == 2
    assert _greedy(mask={4: 100.0}) == 4


def test_each_row_has_its_own_mask():
    choices = [_choice(temperature=0.0, mask=mask) for mask in ({1: -100.0}, {}, {0: 9.0, 4: 8.0})]
    assert sample(torch.tensor([LOGITS] * 3), choices) == [2, 1, 0]


def test_a_mask_of_a_token_outside_the_vocabulary_changes_nothing():
    assert _greedy(mask={99999: 100.0}) == 1


@pytest.mark.parametrize("bad", [NAN, INF, -INF], ids=["NaN", "infinity", "nothing but minus infinity"])
@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {}, {"top_p": 0.5}, {"top_k": 2}])
def test_a_row_that_cannot_be_chosen_from_gets_no_token_and_the_others_do(bad, fields):
    row = [bad] * 5 if bad == -INF else [0.0, 1.0, bad, 2.0, 0.0]
    choices = [_choice(temperature=0.0), _choice(**fields), _choice(top_k=1)]
    assert sample(torch.tensor([LOGITS, row, LOGITS]), choices) == [1, None, 1]


def test_tokens_that_are_banned_by_minus_infinity_are_never_chosen():
    assert set(_draws(logits=[0.0, -INF, 2.0, -INF, 0.0])) == {0, 2, 4}
