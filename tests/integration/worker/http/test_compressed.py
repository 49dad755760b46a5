"""A worker that is asked directly takes compressed bodies as a gateway does, and slashes at the end of a path."""

import gzip
import json
import zlib

import httpx
import pytest
import zstandard

PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress, "identity": bytes}
BODY = json.dumps({"model": "tiny", "prompt": "hello", "max_tokens": 2, "ignore_eos": True}).encode()


def post(worker, body: bytes, coding: str) -> httpx.Response:
    headers = {"content-encoding": coding}
    return httpx.post(worker.url + "/v1/completions", content=body, headers=headers, timeout=60)


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("length", [0, 300_000])
def test_a_packed_body_is_read_as_if_it_were_plain(tiny, coding, length):
    answer = post(tiny, PACK[coding](BODY + b" " * length), coding)
    assert (answer.status_code, answer.json()["usage"]["completion_tokens"]) == (200, 2)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_413_and_what_is_not_packed_is_400(tiny, coding):
    bomb = PACK[coding](bytes(64 * 2**20))
    assert len(bomb) < 2**17
    for body, status, code in ((bomb, 413, "request_too_large"), (BODY, 400, "invalid_encoding")):
        answer = post(tiny, body, coding)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_coding_that_is_not_served_is_415_with_those_that_are(tiny):
    answer = post(tiny, BODY, "br")
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models/tiny/", "/health/", "/ready//", "/metrics/", "/docs/"])
def test_a_slash_at_the_end_does_no_harm(tiny, path):
    assert httpx.get(tiny.url + path).status_code == 200


def test_a_body_is_taken_on_a_path_with_a_slash_at_its_end(tiny):
    assert httpx.post(tiny.url + "/v1/completions/", content=BODY).status_code == 200


def test_the_path_of_an_engine_names_the_model(tiny):
    for path, body, status in (("tiny", {}, 200), ("other", {}, 404), ("other", {"model": "tiny"}, 200)):
        answer = httpx.post(f"{tiny.url}/v1/engines/{path}/embeddings", json={"input": "x", **body})
        assert answer.status_code == status, answer.text


def test_fastchats_other_path_of_chats_is_served(tiny):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
    answers = [httpx.post(tiny.url + path, json=body) for path in ("/v1/chat/completions", "/api/v1/chat/completions")]
    assert [answer.json()["error"]["code"] for answer in answers] == ["no_chat_template"] * 2
