"""Whatever comes in, the answer is 4xx in OpenAI's shape and the next request is served."""

import json

import httpx
import pytest

HELLO = [{"role": "user", "content": "Hi"}]
DEEP = "[" * 100_000
CHAT = {
    "no JSON": b"{",
    "nothing": b"",
    "an array": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "invalid UTF-8": b'{"model": "smollm2", "messages": [{"role": "user", "content": "\xff"}]}',
    "invalid UTF-8 in the name": b'{"model": "\xff", "messages": []}',
    "half a surrogate": b'{"model": "smollm2", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "deep nesting": f'{{"model": "smollm2", "messages": {DEEP}'.encode(),
    "NaN": b'{"model": "smollm2", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    "infinity": b'{"model": "smollm2", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
    "no model": {"messages": HELLO},
    "null model": {"model": None, "messages": HELLO},
    "a number as model": {"model": 5, "messages": HELLO},
    "an empty model": {"model": "", "messages": HELLO},
    "no messages": {"model": "smollm2"},
    "null messages": {"model": "smollm2", "messages": None},
    "empty messages": {"model": "smollm2", "messages": []},
    "a string as messages": {"model": "smollm2", "messages": "Hi"},
    "a message without role": {"model": "smollm2", "messages": [{"content": "Hi"}]},
    "a message without content": {"model": "smollm2", "messages": [{"role": "user"}]},
    "null content": {"model": "smollm2", "messages": [{"role": "user", "content": None}]},
    "an unknown role": {"model": "smollm2", "messages": [{"role": "wizard", "content": "Hi"}]},
    "an image": {"model": "smollm2", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    "n of 0": {"model": "smollm2", "messages": HELLO, "n": 0},
    "n as text": {"model": "smollm2", "messages": HELLO, "n": "1"},
    "a huge n": {"model": "smollm2", "messages": HELLO, "n": 10**9},
    "a negative temperature": {"model": "smollm2", "messages": HELLO, "temperature": -1},
    "a huge temperature": {"model": "smollm2", "messages": HELLO, "temperature": 1e300},
    "a negative top_p": {"model": "smollm2", "messages": HELLO, "top_p": -0.1},
    "a tool that nobody declared": {"model": "smollm2", "messages": HELLO, "tool_choice": "required"},
    "a negative limit": {"model": "smollm2", "messages": HELLO, "max_tokens": -1},
    "a limit over the context": {"model": "smollm2", "messages": HELLO, "max_tokens": 10**6},
    "a limit without end": {"model": "smollm2", "messages": HELLO, "max_tokens": 10**30},
    "a huge penalty": {"model": "smollm2", "messages": HELLO, "presence_penalty": 1e10},
    "a huge seed": {"model": "smollm2", "messages": HELLO, "seed": 2**70},
    "too many stop texts": {"model": "smollm2", "messages": HELLO, "stop": ["x"] * 99},
    "a number as stop": {"model": "smollm2", "messages": HELLO, "stop": 5},
    "a bias of words": {"model": "smollm2", "messages": HELLO, "logit_bias": {"hello": 1}},
    "stream as text": {"model": "smollm2", "messages": HELLO, "stream": "yes"},
    "stream options without a stream": {"model": "smollm2", "messages": HELLO, "stream_options": {}},
}
COMPLETION = {
    "no prompt": {"model": "smollm2"},
    "null prompt": {"model": "smollm2", "prompt": None},
    "an empty prompt": {"model": "smollm2", "prompt": ""},
    "no prompts": {"model": "smollm2", "prompt": []},
    "an empty prompt among others": {"model": "smollm2", "prompt": ["a", ""]},
    "texts and tokens": {"model": "smollm2", "prompt": ["a", 1]},
    "negative tokens": {"model": "smollm2", "prompt": [1, -2]},
    "unknown tokens": {"model": "smollm2", "prompt": [1, 10**6]},
    "tokens without end": {"model": "smollm2", "prompt": [10**30]},
    "best_of below n": {"model": "smollm2", "prompt": "a", "best_of": 1, "n": 2},
    "a model that embeds": {"model": "all-minilm-l6-v2", "prompt": "a"},
}
EMBEDDING = {
    "no input": {"model": "smollm2"},
    "null input": {"model": "smollm2", "input": None},
    "an empty input": {"model": "smollm2", "input": ""},
    "no inputs": {"model": "smollm2", "input": []},
    "an empty input among others": {"model": "smollm2", "input": ["a", ""]},
    "a number": {"model": "smollm2", "input": 5},
    "unknown tokens": {"model": "all-minilm-l6-v2", "input": [[10**6]]},
    "an unknown format": {"model": "smollm2", "input": "a", "encoding_format": "hex"},
    "other dimensions": {"model": "smollm2", "input": "a", "dimensions": 5},
    "a text over the context": {"model": "all-minilm-l6-v2", "input": "word " * 600},
}
CASES = [
    *(("/v1/chat/completions", name, body) for name, body in CHAT.items()),
    *(("/v1/completions", name, body) for name, body in COMPLETION.items()),
    *(("/v1/embeddings", name, body) for name, body in EMBEDDING.items()),
]


def _check_error(answer: httpx.Response) -> dict:
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


@pytest.mark.parametrize(("path", "name", "body"), CASES, ids=lambda part: part if isinstance(part, str) else "")
def test_it_is_refused_in_openais_shape_and_the_next_request_is_served(http, path, name, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    _check_error(http.post(path, content=content, headers={"Content-Type": "application/json"}))
    assert http.post("/v1/completions", json={"model": "smollm2", "prompt": "x", "max_tokens": 1}).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_10_mb_is_too_large(http, chunked):
    body = json.dumps({"model": "smollm2", "prompt": "x" * 10_000_000}).encode()
    content = (body[i : i + 65536] for i in range(0, len(body), 65536)) if chunked else body
    answer = http.post("/v1/completions", content=content)
    assert answer.status_code == 413
    _check_error(answer)
    assert http.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/models", 405), ("GET", "/nothing", 404), ("POST", "/", 405)],
)
def test_a_wrong_route_or_method_is_told(http, method, path, status):
    answer = http.request(method, path)
    assert answer.status_code == status
    _check_error(answer)


def test_the_error_names_the_field(http):
    body = {"model": "smollm2", "messages": [*HELLO, {"role": "wizard", "content": "x"}]}
    assert _check_error(http.post("/v1/chat/completions", json=body))["param"] == "messages[1].role"
