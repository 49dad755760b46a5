"""A seed gives the same text alone and beside others, by either executor."""

import random

import pytest

from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.sequence import Sequence, Wanted
from fastchat_worker.model import rope
from fastchat_worker.sampling.parameters import Sampling

from .families import family


def _sampling(chance: random.Random) -> Sampling:
    pick = chance.choice
    return Sampling(
        temperature=pick((0.0, 0.7, 1.0, 1.5)),
        top_p=pick((1.0, 0.9, 0.5)),
        top_k=pick((0, 5, 70)),
        min_p=pick((0.0, 0.05)),
        presence_penalty=pick((0.0, 0.5)),
        frequency_penalty=pick((0.0, 0.7)),
        repetition_penalty=pick((1.0, 1.3)),
        logit_bias=pick(({}, {7: 3.0, 9: -100.0})),
        seed=chance.getrandbits(32),
    )


@pytest.mark.parametrize("kind", ["native", "torch"])
def test_a_seed_gives_the_same_text_alone_and_beside_others(run_engine, native, kind):
    chance, model = random.Random(8), family("Llama, tied, with biases")
    rope.settle(model, 512)
    running = run_engine(model, slots=6, budget=16, executor=native if kind == "native" else Runner)
    requests = [
        ([chance.randrange(3, 211) for _ in range(chance.randint(1, 30))], _sampling(chance), chance.choice((None, 2)))
        for _ in range(24)
    ]

    def sequences():
        return [Sequence(prompt, 16, sampling=sampling, wanted=Wanted(top)) for prompt, sampling, top in requests]

    alone = [running.generate([sequence])[0] for sequence in sequences()]
    assert running.generate(sequences()) == alone
    assert len({tuple(text) for text in alone}) > 20
