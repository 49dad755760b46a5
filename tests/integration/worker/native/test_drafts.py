"""Prompt lookup changes no text: what follows is only guessed, and checked."""

import random

import pytest
from support.models.adapters import write_adapter

from fastchat_worker.engine.adapters import AdapterLoader
from fastchat_worker.engine.drafts import Drafter
from fastchat_worker.engine.sequence import Sequence, Wanted
from fastchat_worker.model import rope
from fastchat_worker.sampling.parameters import GREEDY, Sampling

from .families import family

NAME = "Llama, tied, with biases"


def _request(chance: random.Random) -> dict:
    pick = chance.choice
    phrase = [chance.randrange(3, 211) for _ in range(chance.randint(1, 12))]
    sampling = pick((GREEDY, GREEDY, Sampling(temperature=0.4, seed=chance.getrandbits(32)), Sampling(top_k=2, seed=1)))
    return {
        "prompt": phrase * chance.randint(1, 5),
        "max_tokens": chance.randint(1, 70),
        "sampling": pick((sampling, sampling, sampling, Sampling(temperature=0, frequency_penalty=0.5))),
        "end_tokens": frozenset(chance.sample(range(211), pick((0, 3)))),
        "wanted": Wanted(pick((None, 2))),
    }


@pytest.fixture(scope="module")
def requests():
    chance = random.Random(6)
    return [_request(chance) for _ in range(24)]


@pytest.mark.parametrize("ngram", [1, 3])
def test_texts_and_log_probabilities_are_those_without_drafts(run_engine, native, requests, ngram):
    model = family(NAME)
    rope.settle(model, 512)
    plain = run_engine(None, executor=lambda _: native(family(NAME)))
    drafting = run_engine(None, executor=lambda _: native(family(NAME)), drafter=Drafter(ngram))
    chance = random.Random(ngram)
    while_running = [requests[at : at + number] for at, number in ((at, chance.randint(1, 3)) for at in range(24))]
    for together in while_running:
        expected = [Sequence(**request) for request in together]
        found = [Sequence(**request) for request in together]
        assert drafting.generate(found) == plain.generate(expected)
        for one, other in zip(found, expected, strict=True):
            assert (one.finish, one.cached) == (other.finish, other.cached)
            assert [score.logprob for score in one.scores] == pytest.approx(
                [each.logprob for each in other.scores], 1e-3
            )
    engine = drafting.engine
    assert engine.tokens_accepted < engine.tokens_drafted
    assert engine.tokens_accepted or ngram > 1  # what follows three tokens a model of noise hardly says again
    assert engine.tokens_generated == plain.engine.tokens_generated
    assert not engine.cache.in_use


def test_drafts_run_with_the_adapter_of_their_sequence(run_engine, native, tmp_path):
    folder = write_adapter(tmp_path / "adapter", family(NAME), rank=8)
    texts = []
    for drafter in (None, Drafter(1)):
        runner = native(family(NAME))
        loaded = AdapterLoader(runner).load("adapter", folder)
        running = run_engine(None, executor=lambda _, runner=runner: runner, drafter=drafter)
        texts.append(running.generate([Sequence([5, 6, 7, 8] * 3, 150, loaded=loaded)]))
    assert texts[0] == texts[1]
    assert running.engine.tokens_accepted
