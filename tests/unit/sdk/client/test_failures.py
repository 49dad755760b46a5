import socket
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from fastchat import api, errors
from fastchat._client.failures import connection_error
from fastchat._client.protocol import Call, checked, prepare_request
from fastchat._client.settings import Settings

CHAT = Call("/v1/chat/completions", api.ChatCompletion.model_validate_json)
REQUEST = httpx.Request("POST", "http://user:secret@gateway:8000/v1/chat/completions")


def response(status: int = 200, headers: Mapping[str, str] | None = None, **content: Any) -> httpx.Response:
    return httpx.Response(status, headers=headers, request=REQUEST, **content)


def refused(response: httpx.Response) -> errors.APIStatusError:
    with pytest.raises(errors.APIStatusError) as caught:
        checked(response, stream=False)
    return caught.value


def test_openais_error_body_is_taken_apart() -> None:
    body = {"error": {"message": "No.", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}}
    error = refused(response(400, {"x-request-id": "r-1"}, json=body))
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
    assert refused(response(400, json=body)).message == message


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"error": null}', '{"error": {}}', '{"error": []}', "\x00"])
def test_a_response_without_words_is_still_the_error_of_its_status(body: str) -> None:
    error = refused(response(502, text=body))
    assert type(error) is errors.InternalServerError
    assert "http://gateway:8000 responded Bad Gateway" in error.message


def test_a_proxys_page_is_quoted_shortly() -> None:
    error = refused(response(502, text="<html>\n <h1>nginx</h1>" + "x" * 1000))
    assert error.message.startswith("http://gateway:8000 responded Bad Gateway: <html> <h1>nginx</h1>xxx")
    assert len(error.message) < 300


def test_a_redirect_says_where_to() -> None:
    error = refused(response(308, {"location": "https://gateway/v1/chat/completions"}))
    assert "redirects to https://gateway/v1/chat/completions" in error.message


def test_an_error_of_the_key_says_how_to_set_it() -> None:
    assert "FASTCHAT_API_KEY" in refused(response(401, json={"error": {"message": "No key."}})).message


def test_a_status_error_knows_when_to_come_back() -> None:
    assert refused(response(503, {"retry-after": "7"})).retry_after == 7


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
        (httpx.DecodingError("bad gzip"), errors.APIResponseError, "did not respond as the API describes: bad gzip."),
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
