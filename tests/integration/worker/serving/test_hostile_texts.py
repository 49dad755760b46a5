"""A text that the model makes no numbers of, or that it does not know, is nobody else's trouble.

A small random model with one token whose embedding is not a number; its worker starts in about five seconds.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from support.models.encoders import SPECIAL, WORDS, save_bert
from support.workers import WorkerProcess

POISON = "mat"


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    import transformers

    folder = save_bert(tmp_path_factory.mktemp("poisoned"), spare=1)
    model = transformers.BertModel.from_pretrained(folder)
    model.get_input_embeddings().weight.data[len(SPECIAL) + WORDS.index(POISON)] = math.nan
    model.save_pretrained(folder)
    worker = WorkerProcess(
        tmp_path_factory.mktemp("log"), "--model-name", "e", "--model-path", str(folder), "--task", "embed"
    )
    try:
        with httpx.Client(base_url=worker.wait_ready().url, timeout=60) as client:
            yield client
    finally:
        worker.stop()


def embed(client, *texts):
    return client.post("/v1/embeddings", json={"model": "e", "input": list(texts)})


def test_a_text_without_finite_numbers_is_an_error_of_its_request_alone(poisoned):
    alone = embed(poisoned, "the cat").json()["data"][0]["embedding"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda word: embed(poisoned, "the cat", f"a {word} sat"), ["dog", POISON] * 16))
    assert [answer.status_code for answer in answers] == [200, 500] * 16
    for answer in answers[::2]:
        assert answer.json()["data"][0]["embedding"] == pytest.approx(alone, abs=1e-5)
    for answer in answers[1::2]:
        assert answer.json()["error"]["message"].startswith("input[1]: the model's numbers")


def test_text_that_becomes_a_token_beyond_the_vocabulary_is_refused_by_its_place(poisoned):
    refused = embed(poisoned, "a cat", "the spare0 cat")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input[1]")
    assert "position 2" in refused.json()["error"]["message"]
    assert embed(poisoned, "a cat").status_code == 200


def test_tokens_beyond_the_vocabulary_are_refused_by_their_place(poisoned, tiny):
    for client, model in ((poisoned, "e"), (httpx.Client(base_url=tiny.url), "tiny")):
        refused = client.post("/v1/embeddings", json={"model": model, "input": [[1], [1, 2**30]]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input[1]")
        assert "position 1" in refused.json()["error"]["message"]


@pytest.mark.parametrize(("given", "param"), [(["", "a"], "input[0]"), (["a", ""], "input[1]"), ("", "input")])
def test_an_empty_text_is_called_so(poisoned, given, param):
    error = poisoned.post("/v1/embeddings", json={"model": "e", "input": given}).json()["error"]
    assert (error["param"], error["message"]) == (param, f"Invalid value for '{param}': the text is empty.")
