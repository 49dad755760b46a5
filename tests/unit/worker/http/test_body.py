"""What is refused before anything is built of it: objects with more members than one may have."""

import json

import pytest
from support.worst_bodies import CHAT, COMPLETIONS, EMBEDDINGS, TOKEN_CHECK, at_worker

from fastchat import api
from fastchat_worker.errors import RequestError
from fastchat_worker.http import body as body_module

REQUESTS = {
    CHAT: api.ChatCompletionRequest,
    COMPLETIONS: api.CompletionRequest,
    EMBEDDINGS: api.EmbeddingRequest,
    TOKEN_CHECK: api.TokenCheckRequest,
}
MANY = {f"x{number}": 1 for number in range(1100)}
MESSAGE = {"role": "user", "content": "x"}


def refusal(path: str, body: bytes) -> RequestError:
    with pytest.raises(RequestError) as refused:
        body_module.validated(body, REQUESTS[path])
    return refused.value


@pytest.mark.parametrize("path", REQUESTS)
def test_a_body_of_too_many_parameters_is_refused_with_the_limit_and_what_to_do(path):
    error = refusal(path, json.dumps(MANY).encode())
    assert (error.status, error.error.code, error.error.message) == (
        400,
        "too_complex",
        "The body is more than is served: "
        "it has more than 1024 parameters; leave out those that the API does not have.",
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [MESSAGE | MANY]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"} | MANY]}]}),
        (CHAT, {"messages": [MESSAGE], "stream": True, "stream_options": MANY}),
        (CHAT, {"messages": [MESSAGE], "metadata": MANY}),
        (CHAT, {"messages": [MESSAGE], "logit_bias": MANY}),
        (CHAT, {"messages": [MESSAGE], "tools": [{"function": MANY}]}),
        (CHAT, {"messages": [MESSAGE], "response_format": MANY}),
        (COMPLETIONS, {"prompt": "x", "logit_bias": MANY}),
        (COMPLETIONS, {"prompt": [MANY]}),
        (EMBEDDINGS, {"input": [MANY]}),
        (TOKEN_CHECK, {"prompts": [{"model": "m", "prompt": "x"} | MANY]}),
    ],
)
def test_an_object_of_too_many_members_is_refused_wherever_it_stands(path, body):
    error = refusal(path, json.dumps({"model": "m"} | body).encode()).error
    assert (error.code, "more than 1024 members" in error.message) == ("too_complex", True)


@pytest.mark.parametrize(("path", "body"), at_worker("m").values(), ids=at_worker("m"))
def test_the_worst_bodies_have_few_errors_built_of_them(path, body, monkeypatch):
    built = []
    monkeypatch.setattr(
        body_module, "request_error", lambda invalid: built.append(invalid.error_count()) or api.Error(message="")
    )
    try:
        body_module.validated(body, REQUESTS[path])
    except RequestError:
        assert sum(built) < 10_000


def test_half_a_character_is_refused_with_the_field_that_it_is_in():
    error = refusal(CHAT, rb'{"model": "m", "messages": [{"role": "user", "content": "a\ud83d"}]}').error
    assert (error.param, error.code) == ("messages[0].content", "invalid_value")
    assert error.message.startswith("'messages[0].content' has half a character")
