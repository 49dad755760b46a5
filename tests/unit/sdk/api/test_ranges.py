"""Null for every optional field, and both ends of every range."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from fastchat.api import (
    ChatCompletionRequest,
    CompletionRequest,
    EmbeddingRequest,
    RerankRequest,
    request_error,
)
from fastchat.api.common import Request
from fastchat.api.messages import MessagesRequest
from fastchat.api.responses import ResponsesRequest
from fastchat.api.routes import ROUTES

TURNS = [{"role": "user", "content": "x"}]
LEAST: dict[str, dict[str, Any]] = {
    "ChatCompletionRequest": {"model": "m", "messages": TURNS},
    "CompletionRequest": {"model": "m", "prompt": "x"},
    "ResponsesRequest": {"model": "m", "input": "x"},
    "MessagesRequest": {"model": "m", "messages": TURNS, "max_tokens": 1},
    "CountTokensRequest": {"model": "m", "messages": TURNS},
    "EmbeddingRequest": {"model": "m", "input": "x"},
    "EngineEmbeddingRequest": {"input": "x"},
    "RerankRequest": {"model": "m", "query": "x", "documents": ["x"]},
    "ScoreRequest": {"model": "m", "text_1": "x", "text_2": "x"},
    "TokenizeRequest": {"model": "m", "prompt": "x"},
    "DetokenizeRequest": {"model": "m", "tokens": [1]},
    "TokenCheckRequest": {"prompts": [{"model": "m", "prompt": "x"}]},
}
"""Of each request what it cannot be without."""
TYPES = {route.request.__name__: route.request for route in ROUTES if route.request}


def read(request_type: type[Request], **more: Any) -> Request:
    body = {**LEAST[request_type.__name__], **more}
    return request_type.model_validate_json(json.dumps(body))


@pytest.mark.parametrize("request_type", TYPES.values(), ids=TYPES)
def test_null_for_every_optional_field_is_as_if_it_were_not_there(request_type):
    least = LEAST[request_type.__name__]
    names = {field.alias or name for name, field in request_type.model_fields.items() if not field.is_required()}
    nulls = dict.fromkeys(names - least.keys())
    assert read(request_type, **nulls).model_dump() == read(request_type).model_dump()
    assert read(request_type, **nulls).unknown_fields == []


SAMPLING: dict[str, tuple[float, float, float]] = {
    "temperature": (0, 2, 0.001),
    "top_p": (0, 1, 0.001),
    "min_p": (0, 1, 0.001),
    "presence_penalty": (-2, 2, 0.001),
    "frequency_penalty": (-2, 2, 0.001),
    "n": (1, 128, 1),
    "seed": (-(2**63), 2**63 - 1, 1),
    "top_k": (-1, 2**31 - 1, 1),
}
"""Least, most, and by how much a value is outside."""
RANGES: list[tuple[type[Request], str, float, float, float]] = [
    *((ChatCompletionRequest, name, *ends) for name, ends in SAMPLING.items()),
    *((CompletionRequest, name, *ends) for name, ends in SAMPLING.items()),
    (ChatCompletionRequest, "max_tokens", 1, 2**31 - 1, 1),
    (ChatCompletionRequest, "max_completion_tokens", 1, 2**31 - 1, 1),
    (ChatCompletionRequest, "top_logprobs", 0, 20, 1),
    (CompletionRequest, "max_tokens", 0, 2**31 - 1, 1),
    (CompletionRequest, "logprobs", 0, 20, 1),
    (CompletionRequest, "best_of", 1, 128, 1),
    (ResponsesRequest, "temperature", 0, 2, 0.001),
    (ResponsesRequest, "top_p", 0, 1, 0.001),
    (ResponsesRequest, "top_logprobs", 0, 20, 1),
    (ResponsesRequest, "max_output_tokens", 1, 2**31 - 1, 1),
    (MessagesRequest, "temperature", 0, 2, 0.001),
    (MessagesRequest, "top_p", 0, 1, 0.001),
    (MessagesRequest, "max_tokens", 1, 2**31 - 1, 1),
    (EmbeddingRequest, "dimensions", 1, 2**31 - 1, 1),
    (RerankRequest, "top_n", 0, 2**31 - 1, 1),
]
WITH = {"top_logprobs": {"logprobs": True}, "max_tokens": {"echo": True}}
"""Without which a value would be refused for another reason."""


def given(request_type: type[Request], name: str, value: float) -> Request:
    more = {key: each for key, each in WITH.get(name, {}).items() if key in request_type.model_fields}
    if request_type is ChatCompletionRequest:
        more.pop("echo", None)
    return read(request_type, **more, **{name: value})


@pytest.mark.parametrize(("request_type", "name", "least", "most", "step"), RANGES)
def test_the_ends_of_a_range_are_taken_and_what_is_outside_is_refused_by_its_field(
    request_type, name, least, most, step
):
    assert [getattr(given(request_type, name, end), name) for end in (least, most)] == [least, most]
    for outside in (least - step, most + step):
        with pytest.raises(ValidationError) as invalid:
            given(request_type, name, outside)
        error = request_error(invalid.value)
        assert (error.param, error.code) == (name, "invalid_value")


@pytest.mark.parametrize("request_type", [ChatCompletionRequest, CompletionRequest])
def test_penalties_and_biases_have_their_own_ends(request_type):
    read(request_type, repetition_penalty=10, logit_bias={"1": 100, "2": -100})
    for more in ({"repetition_penalty": 0}, {"repetition_penalty": 10.1}, {"logit_bias": {"1": 100.1}}):
        with pytest.raises(ValidationError) as invalid:
            read(request_type, **more)
        assert str(request_error(invalid.value).param).startswith(next(iter(more)))
