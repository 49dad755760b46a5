"""What is said of an invalid request: one thing, however many are wrong."""

import json

import pytest
from pydantic import ValidationError

from fastchat.api import (
    ChatCompletionRequest,
    CompletionRequest,
    EmbeddingRequest,
    RerankRequest,
    ScoreRequest,
    TokenCheckRequest,
    request_error,
)

CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
NAMES = {f"x{number}": 1 for number in range(32_000)}
WRONG = {
    "lists as prompts": (CompletionRequest, {"model": "m", "prompt": [[]] * 32_000}, "prompt[0]"),
    "texts without end": (CompletionRequest, {"model": "m", "prompt": [""] * 200_000}, "prompt[0]"),
    "a text after many tokens": (CompletionRequest, {"model": "m", "prompt": [1] * 200_000 + ["x"]}, "prompt[200000]"),
    "a token after a text": (EmbeddingRequest, {"model": "m", "input": ["a", 1]}, "input[1]"),
    "too many inputs": (EmbeddingRequest, {"model": "m", "input": ["a"] * 2049}, "input"),
    "messages without anything": (ChatCompletionRequest, {**CHAT, "messages": [{}] * 32_000}, "messages[0].role"),
    "too many messages": (ChatCompletionRequest, {**CHAT, "messages": CHAT["messages"] * 5000}, "messages"),
    "parts": (
        ChatCompletionRequest,
        {**CHAT, "messages": [{"role": "user", "content": [{}] * 30_000}]},
        "messages[0].content[0].type",
    ),
    "biases": (ChatCompletionRequest, {**CHAT, "logit_bias": NAMES}, "logit_bias"),
    "fields of metadata": (ChatCompletionRequest, {**CHAT, "metadata": NAMES}, "metadata"),
    "tools": (ChatCompletionRequest, {**CHAT, "tools": [[]] * 32_000}, "tools[0]"),
    "stop texts": (ChatCompletionRequest, {**CHAT, "stop": [""] * 200_000}, "stop[0]"),
    "prompts to check": (TokenCheckRequest, {"prompts": [{}] * 32_000}, "prompts[0].model"),
}


# Each field that is wrong is an error of its own; fastchat.api.structure bounds how many there are.
LISTS = {name: wrong for name, wrong in WRONG.items() if "field" not in name}


@pytest.mark.parametrize(("request_type", "body", "_"), LISTS.values(), ids=LISTS)
def test_validation_ends_at_a_lists_first_error(request_type, body, _):
    with pytest.raises(ValidationError) as invalid:
        request_type.model_validate_json(json.dumps(body))
    assert invalid.value.error_count() <= 5


@pytest.mark.parametrize(("request_type", "body", "param"), WRONG.values(), ids=WRONG)
def test_one_thing_is_said_of_a_request_in_which_everything_is_wrong(request_type, body, param):
    with pytest.raises(ValidationError) as invalid:
        request_type.model_validate_json(json.dumps(body))
    error = request_error(invalid.value)
    assert error.param == param
    assert len(error.message) < 400


PART = {"type": "text", "text": "x", "cache_control": {}}
UNKNOWN = {
    "of a request": ({**CHAT, "x": 1, "y": 2}, ["x", "y"]),
    "of parts, each once": (
        {
            **CHAT,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}] * 2}] * 2,
        },
        ["messages.content.cache_control"],
    ),
    "without a name": ({**CHAT, "": 1}, [""]),
    "of a tool": (
        {**CHAT, "tools": [{"type": "function", "function": {"name": "f", "annotations": {}}}]},
        ["tools.function.annotations"],
    ),
}


@pytest.mark.parametrize(("body", "names"), UNKNOWN.values(), ids=UNKNOWN)
def test_fields_that_nobody_knows_are_kept_apart_with_their_paths(body, names):
    assert ChatCompletionRequest.model_validate_json(json.dumps(body)).unknown_fields == names


EMPTY = {
    "one text": (EmbeddingRequest, {"input": ""}, "input"),
    "the first of several": (EmbeddingRequest, {"input": ["", "a"]}, "input[0]"),
    "another of several": (EmbeddingRequest, {"input": ["a", ""]}, "input[1]"),
    "a query": (RerankRequest, {"query": "", "documents": ["a"]}, "query"),
    "a document": (RerankRequest, {"query": "a", "documents": ["a", ""]}, "documents[1]"),
    "a document's text": (RerankRequest, {"query": "a", "documents": ["a", {"text": ""}]}, "documents[1].text"),
    "a side of pairs": (ScoreRequest, {"text_1": "a", "text_2": ["a", ""]}, "text_2[1]"),
}


@pytest.mark.parametrize(("request_type", "body", "param"), EMPTY.values(), ids=EMPTY)
def test_an_empty_text_is_called_so_and_by_its_place(request_type, body, param):
    with pytest.raises(ValidationError) as invalid:
        request_type.model_validate_json(json.dumps({"model": "m", **body}))
    error = request_error(invalid.value)
    assert (error.param, error.message) == (param, f"Invalid value for '{param}': the text is empty.")


@pytest.mark.parametrize(
    ("given", "param", "told"),
    [
        (["a", 1], "input[1]", "valid string"),
        ([1, "a"], "input[1]", "valid integer"),
        ([[1], "a"], "input[1]", "valid array"),
        ([[1], [-1]], "input[1][0]", "greater than or equal to 0"),
        (5, "input", "valid string"),
    ],
)
def test_what_is_said_of_an_input_is_about_the_branch_that_was_meant(given, param, told):
    with pytest.raises(ValidationError) as invalid:
        EmbeddingRequest.model_validate_json(json.dumps({"model": "m", "input": given}))
    assert invalid.value.error_count() == 1
    error = request_error(invalid.value)
    assert error.param == param
    assert told in error.message
