"""What the parameters that vLLM adds do, and what is refused; a model of a few thousand weights. Takes 5 s."""

import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.workers import WorkerProcess

END = 1
"""The model's end token."""


@pytest.fixture
def client(tiny) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=tiny.url, timeout=120) as client:
        yield client


def _post(client: httpx.Client, **body: Any) -> httpx.Response:
    body = {"model": "tiny", "prompt": "abc", "max_tokens": 12, "return_token_ids": True, "temperature": 0, **body}
    return client.post("/v1/completions", json=body)


def _choice(client: httpx.Client, **body: Any) -> dict:
    response = _post(client, **body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def test_the_end_token_is_not_taken_before_min_tokens(client):
    wants_to_end = {"logit_bias": {str(END): 100}}
    assert _choice(client, **wants_to_end)["token_ids"] == [END]
    choice = _choice(client, min_tokens=5, **wants_to_end)
    assert (len(choice["token_ids"]), choice["token_ids"][-1], choice["finish_reason"]) == (6, END, "stop")


def test_ignore_eos_goes_on_to_the_length(client):
    choice = _choice(client, ignore_eos=True, logit_bias={str(END): 100})
    assert (choice["token_ids"], choice["finish_reason"]) == ([END] * 12, "length")


def test_a_stop_token_ends_like_an_end_token_and_does_not_show_unless_asked_for(client):
    plain = _choice(client, ignore_eos=True)
    stop = plain["token_ids"][1]
    first = plain["token_ids"].index(stop)
    choice = _choice(client, stop_token_ids=[stop], ignore_eos=True)
    assert (choice["token_ids"], choice["finish_reason"]) == (plain["token_ids"][: first + 1], "stop")
    whole = _choice(client, stop_token_ids=[stop], ignore_eos=True, include_stop_str_in_output=True)
    assert len(whole["text"]) > len(choice["text"])
    assert whole["text"].startswith(choice["text"])


def test_special_tokens_show_where_they_are_not_skipped(client):
    wanted = {"ignore_eos": True, "logit_bias": {str(END): 100}, "max_tokens": 3}
    assert _choice(client, **wanted)["text"] == ""
    assert _choice(client, skip_special_tokens=False, **wanted)["text"] == "</s></s></s>"


@pytest.mark.parametrize("params", [{"top_p": 0}, {"temperature": 1e-7}, {"top_k": 1}, {"min_p": 1}])
def test_there_are_several_ways_to_be_greedy(client, params):
    greedy = _choice(client)["token_ids"]
    assert _choice(client, **{"temperature": 1.5, **params})["token_ids"] == greedy


def test_repetition_penalty_leaves_nothing_said_twice(client):
    tokens = _choice(client, repetition_penalty=10, logit_bias={str(t): 20 for t in range(40, 60)}, ignore_eos=True)
    assert len(set(tokens["token_ids"])) == 12


@pytest.mark.parametrize(
    ("body", "param", "named"),
    [
        ({"logit_bias": {"258": 1}}, "logit_bias", "258"),
        ({"stop_token_ids": [999]}, "stop_token_ids", "999"),
        ({"prompt": [5, 300]}, "prompt", "300"),
        ({"min_tokens": 13}, "min_tokens", "13"),
    ],
)
def test_tokens_that_the_model_does_not_have_and_what_cannot_be_are_refused_by_name(client, body, param, named):
    response = _post(client, **body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert named in error["message"]


def test_echo_is_the_prompt_as_it_was_sent(client):
    for prompt in ("  two spaces ", "é</s>x", "\u1e9b\u0323"):
        assert _choice(client, prompt=prompt, echo=True, max_tokens=0)["text"] == prompt


def test_usage_comes_with_every_chunk_where_asked_for(client):
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"model": "tiny", "prompt": "abc", "max_tokens": 3, "stream": True, "stream_options": options}
    text = client.post("/v1/completions", json={**body, "ignore_eos": True}).text
    assert text.count('"completion_tokens"') == text.count("data: {")


@pytest.fixture(scope="module")
def short_of_tokens(tiny_folder, tmp_path_factory) -> Iterator[httpx.Client]:
    """A worker whose tokenizer has a token that its model has not."""
    import transformers

    folder = tmp_path_factory.mktemp("short") / "model"
    shutil.copytree(tiny_folder, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<extra>"])
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    worker = WorkerProcess(tmp_path_factory.mktemp("worker"), "--model-name", "tiny", "--model-path", str(folder))
    try:
        worker.wait_ready()
        with httpx.Client(base_url=worker.url, timeout=120) as client:
            yield client
    finally:
        worker.stop()


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"prompt": "a<extra>b"}, "prompt"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a<extra>b"}]}, "messages"),
    ],
)
def test_a_text_whose_tokens_the_model_does_not_have_is_refused_and_touches_nobody(short_of_tokens, path, body, param):
    response = short_of_tokens.post(path, json={"model": "tiny", "max_tokens": 2, **body})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert "258" in response.json()["error"]["message"]
    assert len(_choice(short_of_tokens, max_tokens=2, ignore_eos=True)["token_ids"]) == 2
