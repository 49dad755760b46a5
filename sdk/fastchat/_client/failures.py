"""What went wrong, as one of `fastchat.errors`, with what to do about it."""

import json
import os
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from fastchat import api
from fastchat._client.retry import retry_after
from fastchat.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    FastChatError,
    status_error_class,
)

T = TypeVar("T", bound=api.Response)


def connection_error(failure: httpx.HTTPError) -> FastChatError:
    """httpx's failure in the user's words, with what to do about it."""
    url = failure.request.url
    server, reason = server_of(url), _reason(failure)
    if isinstance(failure, httpx.ConnectTimeout):
        return APITimeoutError(_cannot_reach(server, "no connection in time"))
    if isinstance(failure, httpx.ConnectError):
        return APIConnectionError(_cannot_reach(server, reason))
    if isinstance(failure, httpx.TimeoutException):
        seconds = failure.request.extensions["timeout"]["read"]
        return APITimeoutError(
            f"{server} was silent for {seconds:g} s. Allow more with client.set_timeout(seconds) or timeout=seconds."
        )
    if isinstance(failure, httpx.DecodingError):
        return response_error(url, "", reason)
    return APIConnectionError(f"The connection to {server} broke before the response was complete: {reason}.")


def _cannot_reach(server: str, reason: str) -> str:
    return (
        f"Cannot reach {server}: {reason}. Is the gateway running? "
        "Set the address with base_url=..., client.set_baseurl(...) or FASTCHAT_BASEURL."
    )


def server_of(url: httpx.URL) -> str:
    """Scheme, host and port of an address, without user and password, which `netloc` leaves out."""
    return f"{url.scheme}://{url.netloc.decode()}"


def _reason(failure: BaseException) -> str:
    """The words at the bottom of the chain: above are the libraries' own (anyio puts one per address in a group)."""
    words, cause = str(failure), failure.__cause__
    while cause is not None:
        if isinstance(cause, (ssl.SSLError, socket.gaierror)):
            words = cause.strerror or words
        elif isinstance(cause, OSError) and cause.errno:
            words = os.strerror(cause.errno)  # asyncio's strerror is "Connect call failed" and the address
        cause = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__ or cause.__context__
    words = words.rstrip(".")
    return words[:1].lower() + words[1:]


_STATUS_IN_STREAM = {
    "model_not_found": 404,
    "no_worker": 503,
    "shutting_down": 503,
    "draining": 503,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
}
"""The status that an error's code, or else its type, stands for; vLLM's codes are statuses themselves."""


def status_error(response: httpx.Response) -> APIStatusError:
    """The error that a response other than 2xx stands for."""
    body = _json_object(response.text)
    error = _error_of(body) if body else {}
    if not error.get("message"):
        error = {**error, "message": _without_words(response)}
    if response.status_code == 401:
        hint = " Set the key with api_key=..., client.set_api_key(...) or FASTCHAT_API_KEY."
        error = {**error, "message": f"{error['message']}{hint}"}
    return _status_error(response, response.status_code, error, body or response.text)


def unless_error(result: T, response: httpx.Response) -> T:
    """A result, unless it is the `{"error": …}` that a server sends once 200 is out.

    Raises:
        APIStatusError: with the status that the error's type or code stands for.
    """
    if not result.get("error"):
        return result
    body = result.to_dict()
    error = _error_of(body)
    raise _status_error(response, _status_in_stream(error), error, {"error": body["error"]})


def _status_in_stream(error: Mapping[str, Any]) -> int:
    code = str(error.get("code"))
    if code.isdecimal() and 400 <= int(code) < 600:
        return int(code)
    return _STATUS_IN_STREAM.get(code) or _STATUS_IN_STREAM.get(str(error.get("type")), 500)


def _status_error(
    response: httpx.Response, status: int, error: Mapping[str, Any], body: dict[str, Any] | str
) -> APIStatusError:
    fields = {name: None if error.get(name) is None else str(error[name]) for name in ("type", "param", "code")}
    return status_error_class(status)(
        str(error.get("message") or "The server gave no reason."),
        status_code=status,
        **fields,
        request_id=response.headers.get("x-request-id"),
        retry_after=retry_after(response.headers, time.time()),
        body=body,
    )


def _error_of(body: dict[str, Any]) -> dict[str, Any]:
    """The error's fields: OpenAI nests them, FastChat's and vLLM's first servers did not, FastAPI has `detail`."""
    error = body.get("error") or body
    if not isinstance(error, dict):
        return {"message": error}
    return {**error, "message": error.get("message") or error.get("detail")}


def _without_words(response: httpx.Response) -> str:
    """What to say of a response that holds no error of the API: a proxy's page, a redirect."""
    server = server_of(response.url)
    if response.has_redirect_location:
        location = response.headers["location"]
        return f"{server} redirects to {location}. Set that with base_url=... or client.set_baseurl(...)."
    text = " ".join(response.text.split())[:200]
    return f"{server} responded {response.reason_phrase or response.status_code}{text and f': {text}'}"


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def response_error(url: httpx.URL, body: str, reason: str) -> APIResponseError:
    """The error for what a server sent under 2xx and should not have."""
    return APIResponseError(
        f"{url.copy_with(username=None, password=None)} did not respond as the API describes: {reason}. "
        f"Is that an OpenAI-compatible server? It sent {body[:200]!r}.",
        body=body,
    )


def what_is_wrong(invalid: ValueError) -> str:
    """Why a body could not be read: of pydantic's errors the first, with its field."""
    if not isinstance(invalid, ValidationError):
        return str(invalid)
    first = invalid.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
