"""What a cross-encoder and an embedding model answer when texts are to be matched, over a real socket.

The cross-encoder is a small random one: a worker of it starts in about five seconds, and all tests here share it.
"""

import httpx
import pytest
from support.models.encoders import save_bert
from support.workers import WorkerProcess

QUERY = "the cat"
DOCUMENTS = ["the cat sat on the mat .", "dog", "a b c and the dog ran far ! ?", "cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("cross"), "BertForSequenceClassification", num_labels=1)


@pytest.fixture(scope="module")
def ranker(folder, tmp_path_factory):
    worker = WorkerProcess(
        tmp_path_factory.mktemp("log"), "--model-name", "r", "--model-path", str(folder), "--task", "rerank"
    )
    try:
        with httpx.Client(base_url=worker.wait_ready().url, timeout=60) as client:
            yield client
    finally:
        worker.stop()


@pytest.fixture(scope="module")
def predicted(folder):
    """The score of each document, by the library itself."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    return model.predict([(QUERY, document) for document in DOCUMENTS]).tolist()


def ask(client: httpx.Client, path: str, **body) -> dict:
    response = client.post(path, json={"model": "r", **body})
    assert response.status_code == 200, response.text
    return response.json()


def refused(client: httpx.Client, path: str, **body) -> tuple[int, str, str]:
    response = client.post(path, json={"model": "r", **body})
    error = response.json()["error"]
    return response.status_code, error["param"], error["message"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_documents_come_best_first_with_the_scores_of_predict(ranker, predicted, path):
    answer = ask(ranker, path, query=QUERY, documents=DOCUMENTS)
    order = sorted(range(4), key=lambda at: -predicted[at])
    assert [result["index"] for result in answer["results"]] == order
    assert [result["relevance_score"] for result in answer["results"]] == pytest.approx(
        [predicted[at] for at in order], abs=1e-5
    )
    assert [result["document"] for result in answer["results"]] == [{"text": DOCUMENTS[at]} for at in order]
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 30


def test_only_the_best_are_returned_and_without_their_texts_where_that_is_asked(ranker, predicted):
    objects = [{"text": document} for document in DOCUMENTS]
    answer = ask(ranker, "/v1/rerank", query=QUERY, documents=objects, top_n=2, return_documents=False)
    order = sorted(range(4), key=lambda at: -predicted[at])[:2]
    assert [(result["index"], "document" in result) for result in answer["results"]] == [(at, False) for at in order]


@pytest.mark.parametrize("names", [("text_1", "text_2"), ("queries", "documents")])
def test_scores_come_in_the_order_of_the_pairs(ranker, predicted, names):
    one = ask(ranker, "/v1/score", **{names[0]: QUERY, names[1]: DOCUMENTS})
    each = ask(ranker, "/score", **{names[0]: [QUERY] * 4, names[1]: DOCUMENTS})
    for answer in (one, each):
        assert [(item["index"], item["object"]) for item in answer["data"]] == [(at, "score") for at in range(4)]
        assert [item["score"] for item in answer["data"]] == pytest.approx(predicted, abs=1e-5)


def test_rerank_cuts_what_is_too_long_and_score_refuses_it_unless_told_to(ranker):
    long = "the dog ran . " * 5000
    assert len(ask(ranker, "/v1/rerank", query=QUERY, documents=["cat", long])["results"]) == 2
    status, param, message = refused(ranker, "/v1/score", text_1=QUERY, text_2=["cat", long])
    assert (status, param) == (400, "text_2[1]")
    assert "truncate_prompt_tokens" in message
    assert len(ask(ranker, "/v1/score", text_1=QUERY, text_2=[long], truncate_prompt_tokens=-1)["data"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/rerank", {"query": "", "documents": ["a"]}, "query"),
        ("/v1/rerank", {"query": "a", "documents": ["a", ""]}, "documents[1]"),
        ("/v1/rerank", {"query": "a", "documents": ["a", {"text": ""}]}, "documents[1].text"),
        ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": ["b"] * 2049}, "documents"),
        ("/v1/score", {"text_1": ["a", "b"], "text_2": ["a"]}, "text_1"),
        ("/v1/score", {"text_1": "a", "documents": ["a"]}, None),
    ],
)
def test_what_is_wrong_is_named(ranker, path, body, param):
    assert refused(ranker, path, **body)[:2] == (400, param)


def test_a_cross_encoder_neither_embeds_nor_chats(ranker):
    for path, body in (
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/completions", {"prompt": "a"}),
        ("/tokenize", {"messages": [{"role": "user", "content": "a"}]}),
    ):
        status, param, message = refused(ranker, path, **body)
        assert (status, param) == (400, "model")
        assert "for reranking only" in message


def test_the_model_says_what_it_is_for(ranker):
    assert ranker.get("/v1/models/r").json()["task"] == "Rerank"


def test_an_embedding_model_scores_by_the_angle_between_vectors(embedder):
    body = {"model": "minilm", "query": "a dog", "documents": ["stocks fell", "a puppy", "a dog"]}
    results = embedder.post("/v1/rerank", json=body).json()["results"]
    assert [result["index"] for result in results] == [2, 1, 0]
    assert results[0]["relevance_score"] == pytest.approx(1, abs=1e-5)
    pair = {"model": "minilm", "text_1": ["a dog", "stocks fell"], "text_2": ["a dog", "a puppy"]}
    scores = [item["score"] for item in embedder.post("/v1/score", json=pair).json()["data"]]
    assert scores[0] > 0.999 > scores[1] + 0.3


def test_a_language_model_scores_too(tiny):
    body = {"model": "tiny", "query": "dog", "documents": ["stocks", "dog"]}
    results = httpx.post(tiny.url + "/v1/rerank", json=body).json()["results"]
    assert [result["index"] for result in results] == [1, 0]
    assert results[0]["relevance_score"] == pytest.approx(1, abs=1e-5)
