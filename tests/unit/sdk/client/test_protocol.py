import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from fastchat import api, errors
from fastchat._client.protocol import Call, EventReader, checked, handle_response, prepare_request
from fastchat._client.settings import Settings

CHAT = Call("/v1/chat/completions", api.ChatCompletion.model_validate_json)
CHUNKS = Call("/v1/chat/completions", api.ChatCompletionChunk.model_validate_json)
REQUEST = httpx.Request("POST", "http://user:secret@gateway:8000/v1/chat/completions")
SSE = {"content-type": "text/event-stream; charset=utf-8"}


def response(status: int = 200, headers: Mapping[str, str] | None = None, **content: Any) -> httpx.Response:
    return httpx.Response(status, headers=headers, request=REQUEST, **content)


def sent(body: Mapping[str, Any]) -> Any:
    request = prepare_request(Settings("http://gateway"), Call("/v1/x", api.Response.model_validate_json, body))
    return json.loads(request.content)


def test_a_body_makes_it_a_post_of_json() -> None:
    request = prepare_request(Settings("http://gateway"), Call("/v1/x", api.Response.model_validate_json, {"a": "é"}))
    assert (request.method, str(request.url), request.content) == ("POST", "http://gateway/v1/x", '{"a": "é"}'.encode())
    assert request.headers["content-type"] == "application/json"


def test_no_body_makes_it_a_get() -> None:
    request = prepare_request(Settings("http://gateway"), Call("/v1/models", api.ModelList.model_validate_json))
    assert (request.method, request.content) == ("GET", b"")


def test_the_key_is_a_bearer_token() -> None:
    request = prepare_request(Settings("http://gateway", api_key="sk-1"), CHAT)
    assert request.headers["authorization"] == "Bearer sk-1"


def test_without_a_key_nothing_is_authorized() -> None:
    assert "authorization" not in prepare_request(Settings("http://gateway"), CHAT).headers


@pytest.mark.parametrize(
    ("seconds", "connect", "read"), [(600.0, 10.0, 600.0), (3, 3, 3), (math.inf, 10.0, None)], ids=str
)
def test_the_timeout_is_of_silence_and_a_connection_takes_at_most_10_seconds(
    seconds: float, connect: float, read: float | None
) -> None:
    request = prepare_request(Settings("http://gateway", timeout=seconds), CHAT)
    assert request.extensions["timeout"] == {"connect": connect, "read": read, "write": read, "pool": None}


def test_the_timeout_of_a_call_goes_before_the_settings() -> None:
    call = Call("/v1/x", api.Response.model_validate_json, timeout=3)
    assert prepare_request(Settings("http://gateway"), call).extensions["timeout"]["read"] == 3


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_timeout_that_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="Invalid timeout"):
        prepare_request(Settings("http://gateway"), Call("/v1/x", api.Response.model_validate_json, timeout=seconds))


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b"],
        ("a", "b"),
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
        pd.Series(["a", "b"], index=[7, 9]),
        pd.Index(["a", "b"]),
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_arrays_and_series_are_sent_as_lists(texts: object) -> None:
    assert sent({"input": texts}) == {"input": ["a", "b"]}


def test_numbers_of_numpy_are_sent_as_numbers() -> None:
    assert sent({"n": np.int64(2), "top_p": np.float32(0.5), "ids": [np.int32(7)]}) == {
        "n": 2,
        "top_p": 0.5,
        "ids": [7],
    }


def test_the_message_of_a_response_can_be_sent_again() -> None:
    message = api.ChatMessage.model_validate({"role": "assistant", "content": "Hi", "name": "vicuna"})
    assert sent({"messages": [message]}) == {"messages": [{"role": "assistant", "content": "Hi", "name": "vicuna"}]}


def test_a_parameter_that_json_has_no_type_for_is_named() -> None:
    with pytest.raises(TypeError, match=r"Cannot send \{1\} \(set\)"):
        sent({"stop": {1}})


def test_a_number_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        sent({"temperature": math.nan})


def test_a_result_keeps_what_the_sdk_does_not_know() -> None:
    body = {"id": "1", "choices": [{"message": {"content": "Hi"}}], "kv_transfer_params": {"a": 1}}
    result = handle_response(CHAT, response(json=body))
    assert result.choices[0].message.content == result["choices"][0]["message"]["content"] == "Hi"
    assert result["kv_transfer_params"] == {"a": 1}


@pytest.mark.parametrize("body", ["<html>", "[]", '"text"', "", '{"choices": 3}'])
def test_a_2xx_that_is_no_object_of_the_api_is_an_error_with_its_body(body: str) -> None:
    with pytest.raises(errors.APIResponseError) as caught:
        handle_response(CHAT, response(text=body))
    assert caught.value.body == body


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(errors.APIResponseError, match=r"choices.0.index: Input should be a valid integer"):
        handle_response(CHAT, response(json={"choices": [{"index": "first"}]}))


def test_an_error_under_a_200_is_an_error() -> None:
    with pytest.raises(errors.InternalServerError, match="out of memory"):
        handle_response(CHAT, response(json={"error": {"message": "out of memory", "type": "server_error"}}))


def test_a_stream_that_is_none_is_an_error() -> None:
    with pytest.raises(errors.APIResponseError, match="a stream of events was requested"):
        checked(response(json={"id": "1"}), stream=True)


def read(*parts: str | bytes) -> Iterable[str | None]:
    reader = EventReader(CHUNKS, response(headers=SSE))
    for part in parts:
        for chunk in reader.feed(part.encode() if isinstance(part, str) else part):
            yield chunk.choices[0].delta.content
    reader.end()


def event(text: str) -> str:
    return f'data: {{"choices": [{{"index": 0, "delta": {{"content": "{text}"}}}}]}}\n\n'


DONE = "data: [DONE]\n\n"


def test_a_stream_ends_with_done() -> None:
    assert list(read(event("a"), ": waiting\n\n", event("b") + DONE)) == ["a", "b"]


def test_what_comes_after_done_is_not_read() -> None:
    assert list(read(event("a") + DONE + event("b"), "data: not json\n\n")) == ["a"]


def test_a_stream_without_done_is_incomplete() -> None:
    chunks = iter(read(event("a")))
    assert next(chunks) == "a"
    with pytest.raises(errors.APIConnectionError, match="the response is incomplete"):
        next(chunks)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "gone", "type": "server_error"}, errors.InternalServerError),
        ({"message": "gone"}, errors.InternalServerError),
        ({"message": "gone", "type": "invalid_request_error"}, errors.BadRequestError),
        ({"message": "gone", "type": "rate_limit_error"}, errors.RateLimitError),
        ({"message": "gone", "type": "server_error", "code": "no_worker"}, errors.ServiceUnavailableError),
        ({"message": "gone", "type": "invalid_request_error", "code": "model_not_found"}, errors.NotFoundError),
        ({"message": "gone", "type": "BadRequestError", "code": 400}, errors.BadRequestError),
        ({"message": "gone", "type": ["?"], "code": 99}, errors.InternalServerError),
    ],
)
def test_an_error_event_raises_its_error_after_what_came_before(
    error: dict[str, Any], kind: type[errors.APIStatusError]
) -> None:
    chunks = iter(read(event("a") + f"data: {json.dumps({'error': error})}\n\n"))
    assert next(chunks) == "a"
    with pytest.raises(errors.APIStatusError) as caught:
        next(chunks)
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.body) == ("gone", {"error": error})


def test_an_event_that_is_not_json_is_an_error() -> None:
    with pytest.raises(errors.APIResponseError, match="Invalid JSON") as caught:
        list(read("data: {oops\n\n"))
    assert caught.value.body == "{oops"
