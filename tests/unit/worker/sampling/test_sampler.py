"""Which token is chosen from given logits."""

import math
from collections import Counter

import pytest
import torch

from fastchat_worker.sampling.logprobs import keep_raw, scores_of
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


def test_top_p_zero_and_a_tiny_temperature_take_the_likeliest():
    assert set(_draws(100, top_p=0.0)) == {1}
    assert set(_draws(100, temperature=1e-6, logits=[1.0, 1.0 + 1e-6, 0.0])) == {1}


def test_min_p_leaves_tokens_of_at_least_that_share_of_the_likeliest():
    # of the likeliest the others have about .05 .37 .14 .02
    assert set(_draws(min_p=0.4)) == {1}
    assert set(_draws(min_p=0.1)) == {1, 2, 3}
    assert set(_draws(min_p=1.0)) == {1}


def test_min_p_looks_beyond_the_first_candidates():
    assert max(_draws(300, [0.0] * 5000, min_p=0.5)) > 1024


def test_top_p_is_a_share_of_what_min_p_leaves():
    # min_p leaves .62 .23 .08, of which the first is two thirds
    assert set(_draws(min_p=0.1, top_p=0.66)) == {1}


def test_a_nucleus_is_a_share_of_the_whole_vocabulary():
    """The first 1024 of 2048 equals have half of it: 0.4 of the whole are 820 of them, not 410."""
    assert max(_draws(1000, [0.0] * 2048, top_p=0.4)) > 700


@pytest.mark.parametrize("penalty", [5e-324, 1e-30, 1e300])
def test_no_repetition_penalty_makes_a_finite_logit_infinite(penalty):
    assert _greedy([2.0, 0.0, -3.0], repetition_penalty=penalty, seen=[0, 1, 2]) in (0, 1)


def test_repetition_makes_likely_and_unlikely_tokens_less_likely():
    assert _greedy([2.0, 3.0, 0.0], repetition_penalty=2.0, seen=[1]) == 0
    assert _greedy([-2.0, -1.5, -9.0], repetition_penalty=2.0, seen=[1]) == 0
    assert _greedy([2.0, 3.0, 0.0], repetition_penalty=2.0, seen=[1, 0, 99]) == 1


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_row_that_is_not_finite_gets_no_token_whatever_is_added_to_it(bad):
    row = [0.0, 1.0, bad, 2.0, 0.0]
    for fields in ({"repetition_penalty": 1.5, "seen": [2]}, {"mask": {2: -INF}}, {"mask": {2: 5.0}, "min_p": 0.1}):
        assert sample(torch.tensor([LOGITS, row]), [_choice(top_k=1), _choice(**fields)]) == [1, None]


def test_scores_are_those_of_the_raw_logits_and_the_rows_that_want_none_have_none():
    choices = [_choice(temperature=0.0, mask={1: -100.0}, logprobs=2), _choice(), _choice(temperature=0.0, logprobs=0)]
    logits = torch.tensor([LOGITS] * 3)
    raw = keep_raw(logits, choices)
    tokens = sample(logits, choices)
    first, second, third = scores_of(raw, choices, tokens)
    expected = torch.tensor(LOGITS).log_softmax(0).tolist()
    assert (tokens[0], first.logprob) == (2, pytest.approx(expected[2]))
    assert first.top == [(1, pytest.approx(expected[1])), (2, pytest.approx(expected[2]))]
    assert second is None
    assert (third.logprob, third.top) == (pytest.approx(expected[1]), [])


def test_nothing_is_kept_where_no_row_wants_a_score():
    choices = [_choice(), _choice()]
    assert keep_raw(torch.tensor([LOGITS] * 2), choices) is None
    assert scores_of(None, choices, [1, 1]) == ()
