import base64
import json
import math
import socket
import ssl
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat import api, errors
from fastchat._client.failures import connection_error
from fastchat._client.protocol import Call, EventReader, handle_response, prepare_request, settle
from fastchat._client.retry import backoff, retry_after, retry_delay
from fastchat._client.settings import Settings, parse_api_key, parse_base_url
from fastchat._client.vectors import read_embeddings

CHAT = Call("chat/completions", api.ChatCompletion.model_validate_json)
CHUNKS = Call("chat/completions", api.ChatCompletionChunk.model_validate_json)
REQUEST = httpx.Request("POST", "http://user:secret@gateway:8000/v1/chat/completions")
SSE = {"content-type": "text/event-stream; charset=utf-8"}


def answer(status: int = 200, headers: Mapping[str, str] | None = None, **content: Any) -> httpx.Response:
    return httpx.Response(status, headers=headers, request=REQUEST, **content)


def sent(body: Mapping[str, Any]) -> Any:
    request = prepare_request(Settings("http://gateway"), Call("x", api.Response.model_validate_json, body))
    return json.loads(request.content)


def refused(response: httpx.Response) -> errors.APIStatusError:
    with pytest.raises(errors.APIStatusError) as caught:
        settle(response, stream=False)
    return caught.value


# What is sent


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://gateway:8000", "http://gateway:8000"),
        ("http://gateway:8000/", "http://gateway:8000"),
        ("http://gateway:8000/v1", "http://gateway:8000"),
        ("http://gateway:8000/v1/", "http://gateway:8000"),
        ("https://example.com/models/v1//", "https://example.com/models"),
        ("https://example.com/av1", "https://example.com/av1"),
        ("HTTPS://Example.com", "https://example.com"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
        ("http://gateway:8000\n", "http://gateway:8000"),
        ("http://user:secret@gateway", "http://user:secret@gateway"),
    ],
)
def test_a_base_url_works_with_and_without_slash_and_v1(url: str, base: str) -> None:
    assert parse_base_url(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "gateway",
        "localhost:8000",
        "/v1",
        "ftp://gateway",
        "http://",
        "http://gateway:port",
        "http://gateway:70000",
        "http://gateway?x=1",
        "http://gateway#x",
        "http://[::1",
    ],
)
def test_a_bad_base_url_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="Invalid base URL") as caught:
        parse_base_url(url)
    assert repr(url) in str(caught.value)


def test_the_newline_of_a_secrets_file_is_not_part_of_the_key() -> None:
    assert parse_api_key("sk-1\n") == "sk-1"


@pytest.mark.parametrize("key", ["sk\n1", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="Invalid API key") as caught:
        parse_api_key(key)
    assert key not in str(caught.value)


def test_a_body_makes_it_a_post_of_json() -> None:
    request = prepare_request(Settings("http://gateway"), Call("x", api.Response.model_validate_json, {"a": "é"}))
    assert (request.method, str(request.url), request.content) == ("POST", "http://gateway/v1/x", '{"a": "é"}'.encode())
    assert request.headers["content-type"] == "application/json"


def test_no_body_makes_it_a_get() -> None:
    request = prepare_request(Settings("http://gateway"), Call("models", api.ModelList.model_validate_json))
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
    call = Call("x", api.Response.model_validate_json, timeout=3)
    assert prepare_request(Settings("http://gateway"), call).extensions["timeout"]["read"] == 3


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_a_timeout_that_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="Invalid timeout"):
        prepare_request(Settings("http://gateway"), Call("x", api.Response.model_validate_json, timeout=seconds))


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


def test_the_message_of_an_answer_can_be_sent_again() -> None:
    message = api.ChatMessage.model_validate({"role": "assistant", "content": "Hi", "name": "vicuna"})
    assert sent({"messages": [message]}) == {"messages": [{"role": "assistant", "content": "Hi", "name": "vicuna"}]}


def test_a_parameter_that_json_has_no_type_for_is_named() -> None:
    with pytest.raises(TypeError, match=r"Cannot send \{1\} \(set\)"):
        sent({"stop": {1}})


def test_a_number_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        sent({"temperature": math.nan})


# When to try again


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout])
def test_what_reached_no_server_is_tried_again(failure: type[httpx.TransportError]) -> None:
    delay = retry_delay(failure(""), 0, 2)
    assert delay is not None
    assert 0.25 <= delay <= 0.5


@pytest.mark.parametrize("failure", [httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout, httpx.WriteError])
def test_what_may_have_reached_a_server_is_not_tried_again(failure: type[httpx.TransportError]) -> None:
    assert retry_delay(failure(""), 0, 2) is None


@pytest.mark.parametrize("status", [429, 503])
def test_the_servers_time_is_kept(status: int) -> None:
    delay = retry_delay(answer(status, {"retry-after": "7"}), 0, 2)
    assert delay is not None
    assert 7.25 <= delay <= 7.5


@pytest.mark.parametrize(
    ("status", "headers"), [(200, {}), (429, {}), (503, {}), (500, {"retry-after": "1"}), (503, {"retry-after": "61"})]
)
def test_an_answer_that_does_not_say_come_back_within_a_minute_is_final(status: int, headers: dict[str, str]) -> None:
    assert retry_delay(answer(status, headers), 0, 2) is None


def test_after_the_last_attempt_the_outcome_is_final() -> None:
    assert retry_delay(httpx.ConnectError(""), 2, 2) is None


@given(st.integers(0, 100))
def test_the_back_off_doubles_up_to_8_seconds(attempt: int) -> None:
    longest = min(0.5 * 2**attempt, 8)
    assert longest / 2 <= backoff(attempt) <= longest


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, now=10.0) == seconds


# What an answer means


def test_a_result_keeps_what_the_sdk_does_not_know() -> None:
    response = answer(json={"id": "1", "choices": [{"message": {"content": "Hi"}}], "kv_transfer_params": {"a": 1}})
    result = handle_response(CHAT, response)
    assert result.choices[0].message.content == result["choices"][0]["message"]["content"] == "Hi"
    assert result["kv_transfer_params"] == {"a": 1}


@pytest.mark.parametrize("body", ["<html>", "[]", '"text"', "", '{"choices": 3}'])
def test_a_2xx_that_is_no_object_of_the_api_is_an_error_with_its_body(body: str) -> None:
    with pytest.raises(errors.APIResponseError) as caught:
        handle_response(CHAT, answer(text=body))
    assert caught.value.body == body


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(errors.APIResponseError, match=r"choices.0.index: Input should be a valid integer"):
        handle_response(CHAT, answer(json={"choices": [{"index": "first"}]}))


def test_an_error_under_a_200_is_an_error() -> None:
    with pytest.raises(errors.InternalServerError, match="out of memory"):
        handle_response(CHAT, answer(json={"error": {"message": "out of memory", "type": "server_error"}}))


def test_openais_error_body_is_taken_apart() -> None:
    body = {"error": {"message": "No.", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}}
    error = refused(answer(400, {"x-request-id": "r-1"}, json=body))
    assert type(error) is errors.BadRequestError
    assert (error.message, error.type, error.param, error.code) == (
        "No.",
        "invalid_request_error",
        "n",
        "invalid_value",
    )
    assert (error.status_code, error.request_id, error.body) == (400, "r-1", body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"object": "error", "message": "Only 2048 tokens.", "code": 40303}, "Only 2048 tokens."),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body", "n"]}]}, "[{'loc': ['body', 'n']}]"),
        ({"error": "Model too big"}, "Model too big"),
    ],
    ids=["FastChat and vLLM, at first", "FastAPI", "FastAPI's validation", "Ollama"],
)
def test_the_error_bodies_of_other_servers_give_their_words(body: dict[str, Any], message: str) -> None:
    assert refused(answer(400, json=body)).message == message


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"error": null}', '{"error": {}}', '{"error": []}', "\x00"])
def test_an_answer_without_words_is_still_the_error_of_its_status(body: str) -> None:
    error = refused(answer(502, text=body))
    assert type(error) is errors.InternalServerError
    assert "http://gateway:8000 answered Bad Gateway" in error.message


def test_a_proxys_page_is_quoted_shortly() -> None:
    error = refused(answer(502, text="<html>\n <h1>nginx</h1>" + "x" * 1000))
    assert error.message.startswith("http://gateway:8000 answered Bad Gateway: <html> <h1>nginx</h1>xxx")
    assert len(error.message) < 300


def test_a_redirect_says_where_to() -> None:
    error = refused(answer(308, {"location": "https://gateway/v1/chat/completions"}))
    assert "redirects to https://gateway/v1/chat/completions" in error.message


def test_an_error_of_the_key_says_how_to_set_it() -> None:
    assert "FASTCHAT_API_KEY" in refused(answer(401, json={"error": {"message": "No key."}})).message


def test_a_status_error_knows_when_to_come_back() -> None:
    assert refused(answer(503, {"retry-after": "7"})).retry_after == 7


def test_a_stream_that_is_none_is_an_error() -> None:
    with pytest.raises(errors.APIResponseError, match="a stream of events was asked for"):
        settle(answer(json={"id": "1"}), stream=True)


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (httpx.ConnectTimeout(""), errors.APITimeoutError, "Cannot reach http://gateway:8000: no connection in time."),
        (
            httpx.ConnectError("boom"),
            errors.APIConnectionError,
            "Cannot reach http://gateway:8000: boom. Is the gateway",
        ),
        (httpx.ReadTimeout(""), errors.APITimeoutError, "http://gateway:8000 was silent for 660 s."),
        (httpx.WriteTimeout(""), errors.APITimeoutError, "http://gateway:8000 was silent for 660 s."),
        (httpx.ReadError("Reset."), errors.APIConnectionError, "The connection to http://gateway:8000 broke"),
        (httpx.DecodingError("bad gzip"), errors.APIResponseError, "did not answer as the API describes: bad gzip."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_of_httpx_says_what_to_do(
    failure: httpx.RequestError, kind: type[errors.FastChatError], words: str
) -> None:
    failure.request = prepare_request(Settings("http://user:secret@gateway:8000"), CHAT)
    error = connection_error(failure)
    assert type(error) is kind
    assert words in error.message
    assert "secret" not in error.message


def caused_by(cause: BaseException) -> httpx.ConnectError:
    failure = httpx.ConnectError("All connection attempts failed", request=REQUEST)
    failure.__cause__ = cause
    return failure


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('::1', 8000)"), "connection refused"),
        (ExceptionGroup("", [ConnectionRefusedError(111, "Connect call failed")]), "connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (ssl.SSLError(1, "[SSL] certificate verify failed"), "[SSL] certificate verify failed"),
        (RuntimeError("other"), "all connection attempts failed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reason_is_that_of_the_operating_system(cause: BaseException, words: str) -> None:
    assert str(connection_error(caused_by(cause))).startswith(f"Cannot reach http://gateway:8000: {words}. ")


# Streams


def read(*parts: str | bytes) -> Iterable[str | None]:
    reader = EventReader(CHUNKS, answer(headers=SSE))
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
    with pytest.raises(errors.APIConnectionError, match="the answer is incomplete"):
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


# Embeddings


def embedding_body(*vectors: object) -> bytes:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data}).encode()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_base64_gives_the_floats_that_were_encoded(vector: list[float]) -> None:
    encoded = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    assert read_embeddings(embedding_body(encoded)).data[0].embedding == vector


def test_a_server_that_sends_floats_anyway_is_understood() -> None:
    assert [item.embedding for item in read_embeddings(embedding_body([0.5, 1], [2, 3])).data] == [[0.5, 1], [2, 3]]


@pytest.mark.parametrize("vector", ["AAA=", "AAAAA", "AAAA!AA=="])
def test_a_vector_that_is_not_base64_of_float32_is_an_error(vector: str) -> None:
    call = Call("embeddings", read_embeddings)
    with pytest.raises(errors.APIResponseError):
        handle_response(call, answer(content=embedding_body(vector)))
