"""A response that is no stream goes on elsewhere as if nothing had been."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from .cutting import Progress, post
from .equality import check_same
from .kinds import COMPLETIONS, ONE, SEVERAL, Kind

BEST: dict[str, Kind] = {
    "best of three": (
        COMPLETIONS,
        {"prompt": "Once", "max_tokens": 12, "n": 2, "best_of": 3, "temperature": 1, "top_k": 8},
    )
}
KINDS = ONE | SEVERAL | BEST


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_whole_response_goes_on_after_any_token(pair, kind):
    path, body = kind[0], {"model": "small", **kind[1]}
    body.pop("stream_options", None)
    streams = body | {"stream": True} | ({"best_of": None, "n": body["best_of"]} if "best_of" in body else {})
    began = Progress.of(post(pair[0], path, streams).chunks[:-1])
    choices = len(began.tokens)
    nothing = Progress(began.created, began.seed, began.model)
    whole = post(pair[1], path, body, nothing.document(choices))
    assert whole.status == 200, whole

    def resume(seed: int) -> None:
        response = post(pair[1], path, body, cut(began, seed).document(choices))
        assert response.status == 200, response
        check_same(response.body, whole.body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(resume, range(4)))


def cut(progress: Progress, seed: int) -> Progress:
    """Each choice after any of its tokens; the first time all of them at their end."""
    chance, part = random.Random(seed), Progress(progress.created, progress.seed, progress.model)
    for choice, tokens in progress.tokens.items():
        kept = chance.randint(0, len(tokens)) if seed else len(tokens)
        part.tokens[choice], part.cached[choice] = tokens[:kept], progress.cached[choice]
        if kept == len(tokens):
            part.ended.add(choice)
    return part
