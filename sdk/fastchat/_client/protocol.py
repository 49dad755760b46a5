"""The client's core, without input or output: what is sent for a call, what an answer means, when to try again."""

import array
import base64
import email.utils
import json
import math
import os
import random
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx
from pydantic import ValidationError

from fastchat import __version__, api
from fastchat._client.sse import EventParser
from fastchat.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    FastChatError,
    status_error_class,
)

T = TypeVar("T", bound=api.Response)

# --------------------------------------------------------------------------------------------------------------------
# What is sent
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """Where calls go and how long they are waited for."""

    base_url: str
    """As `parse_base_url` gives it."""
    api_key: str | None = None
    timeout: float = 660.0
    """Seconds the server may be silent; math.inf: for ever. A gateway may hold a request for 600 before it gives up."""
    max_retries: int = 2


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of the API."""

    path: str
    """Below `/v1/`."""
    read: Callable[[bytes | str], T]
    """Makes the answer of its JSON, or in a stream each event; raises ValueError."""
    body: Mapping[str, Any] | None = None
    """None: a GET."""
    timeout: float | None = None
    """Instead of the settings' timeout."""


def parse_base_url(url: str) -> str:
    """The address of a server without `/v1` and without a slash at the end.

    Raises:
        ValueError: it is not an absolute http or https address.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as invalid:
        raise _bad_base_url(url) from invalid
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > 65535:
        raise _bad_base_url(url)
    if parsed.query or parsed.fragment:
        raise _bad_base_url(url)
    return str(parsed).rstrip("/").removesuffix("/v1").rstrip("/")


def _bad_base_url(url: str) -> ValueError:
    return ValueError(
        f"Invalid base URL {url!r}: it is http://host:port or https://host (client.set_baseurl, FASTCHAT_BASEURL)."
    )


def parse_api_key(key: str) -> str:
    """The key without white space around it: the file of a Kubernetes secret often ends with a newline.

    Raises:
        ValueError: an HTTP header cannot carry it. The key itself is not in the message.
    """
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("Invalid API key: an HTTP header takes only printable ASCII characters.")
    return key


def timeouts(seconds: float) -> dict[str, float | None]:
    """httpx's four timeouts, in seconds. The pool has none: waiting for one's own calls is not the server's silence.

    Raises:
        ValueError: not above 0.
    """
    if not seconds > 0:
        raise ValueError(f"Invalid timeout {seconds!r}: it is seconds above 0; math.inf waits for ever.")
    silence = None if math.isinf(seconds) else seconds
    return {"connect": min(seconds, 10.0), "read": silence, "write": silence, "pool": None}


def prepare_request(settings: Settings, call: Call[Any]) -> httpx.Request:
    """The HTTP request of a call.

    Raises:
        TypeError: a parameter that JSON cannot carry.
        ValueError: a number that JSON cannot carry (nan, inf), or a bad timeout.
    """
    headers = {"User-Agent": f"fastchat-python/{__version__}"}
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key}"
    content = None
    if call.body is not None:
        headers["Content-Type"] = "application/json"
        content = json.dumps(call.body, default=_plain, ensure_ascii=False, allow_nan=False).encode()
    return httpx.Request(
        "GET" if content is None else "POST",
        f"{settings.base_url}/v1/{call.path}",
        headers=headers,
        content=content,
        extensions={"timeout": timeouts(settings.timeout if call.timeout is None else call.timeout)},
    )


def _plain(value: object) -> Any:
    """What json does not know: numpy's arrays and numbers and pandas' Series by `tolist`, results by `to_dict`."""
    for name in ("tolist", "to_dict"):  # in this order: the to_dict of a Series is keyed by its index
        if convert := getattr(value, name, None):
            return convert()
    raise TypeError(f"Cannot send {value!r} ({type(value).__name__}): JSON has no such type.")


# --------------------------------------------------------------------------------------------------------------------
# What an answer means
# --------------------------------------------------------------------------------------------------------------------

Outcome = httpx.Response | httpx.HTTPError
"""What came of one attempt: an answer (read, unless it is an event stream), or httpx's failure."""


def retry_delay(outcome: Outcome, attempt: int, max_retries: int) -> float | None:
    """Seconds to the next attempt (the first is attempt 0); None: this outcome is final.

    Tried again: what never reached a server, and a 429 or 503 that says when to come back, if that is within a minute.
    The server's time is kept; the back-off on top of it spreads those who were sent away together.
    """
    if attempt >= max_retries:
        return None
    if isinstance(outcome, (httpx.ConnectError, httpx.ConnectTimeout)):
        asked: float | None = 0.0
    elif isinstance(outcome, httpx.Response) and outcome.status_code in (429, 503):
        asked = retry_after(outcome.headers, time.time())
    else:
        asked = None
    if asked is None or asked > 60:
        return None
    return asked + backoff(attempt)


def backoff(attempt: int) -> float:
    """Half a second, doubled with each attempt up to 8 s, less a random part of up to a half."""
    return math.ldexp(0.5, min(attempt, 4)) * random.uniform(0.5, 1.0)  # noqa: S311  # not a secret


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds of the `Retry-After` header, given as a number or as a date; None: there is none, or it is neither."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def settle(outcome: Outcome, *, stream: bool) -> httpx.Response:
    """The answer, if it is one.

    Raises:
        FastChatError: which of them, see `fastchat.errors`.
    """
    if isinstance(outcome, httpx.HTTPError):
        raise connection_error(outcome) from outcome
    if not outcome.is_success:
        raise status_error(outcome)
    if stream and not is_event_stream(outcome):
        raise response_error(outcome.url, outcome.text, "a stream of events was asked for")
    return outcome


def is_event_stream(response: httpx.Response) -> bool:
    """Whether the body is a stream, to be read event by event."""
    return response.is_success and response.headers.get("content-type", "").startswith("text/event-stream")


def handle_response(call: Call[T], response: httpx.Response) -> T:
    """The result of a 2xx answer.

    Raises:
        APIResponseError: not a JSON object of this call.
        APIStatusError: an error after all, under a 2xx.
    """
    try:
        result = call.read(response.content)
    except ValueError as invalid:
        raise response_error(response.url, response.text, _what_is_wrong(invalid)) from invalid
    return _unless_error(result, response)


class EventReader(Generic[T]):
    """Makes a stream's bytes results."""

    def __init__(self, call: Call[T], response: httpx.Response) -> None:
        self._call = call
        self._response = response
        self._parser = EventParser()
        self.done = False
        """`[DONE]` has come: the answer is complete, whatever becomes of the connection."""

    def feed(self, chunk: bytes) -> Iterator[T]:
        """The results that `chunk` completes.

        Raises:
            APIStatusError: the server broke off with an error.
            APIResponseError: an event that is not a JSON object of this call.
        """
        for data in self._parser.feed(chunk):
            if data == "[DONE]":
                self.done = True
            if not self.done:
                yield self._result(data)

    def end(self) -> None:
        """The stream has ended.

        Raises:
            APIConnectionError: before `[DONE]`.
        """
        if not self.done:
            raise APIConnectionError(
                f"The stream from {_server(self._response.url)} ended without [DONE]: the answer is incomplete."
            )

    def _result(self, data: str) -> T:
        try:
            result = self._call.read(data)
        except ValueError as invalid:
            raise response_error(self._response.url, data, _what_is_wrong(invalid)) from invalid
        return _unless_error(result, self._response)


def read_embeddings(body: bytes | str) -> api.EmbeddingResponse:
    """An embedding answer with its vectors as lists of floats, whichever way they were sent.

    Raises:
        ValueError: not such an answer, or not base64 of float32.
    """
    answer = api.EmbeddingResponse.model_validate_json(body)
    for item in answer.data:
        if isinstance(item.embedding, str):
            item.embedding = _floats(base64.b64decode(item.embedding, validate=True))
    return answer


def _floats(vector: bytes) -> list[float]:
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


# --------------------------------------------------------------------------------------------------------------------
# What went wrong
# --------------------------------------------------------------------------------------------------------------------


def connection_error(failure: httpx.HTTPError) -> FastChatError:
    """httpx's failure in the user's words, with what to do about it."""
    url = failure.request.url
    server, reason = _server(url), _reason(failure)
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
    return APIConnectionError(f"The connection to {server} broke before the answer was complete: {reason}.")


def _cannot_reach(server: str, reason: str) -> str:
    return (
        f"Cannot reach {server}: {reason}. Is the gateway running? "
        "Set the address with client.set_baseurl(...) or FASTCHAT_BASEURL."
    )


def _server(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"  # netloc is without the password


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
    """The error that an answer other than 2xx stands for."""
    body = _json_object(response.text)
    error = _error_of(body) if body else {}
    if not error.get("message"):
        error = {**error, "message": _without_words(response)}
    if response.status_code == 401:
        hint = " Set the key with client.set_api_key(...) or FASTCHAT_API_KEY."
        error = {**error, "message": f"{error['message']}{hint}"}
    return _status_error(response, response.status_code, error, body or response.text)


def _unless_error(result: T, response: httpx.Response) -> T:
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
    """What to say of an answer that holds no error of the API: a proxy's page, a redirect."""
    server = _server(response.url)
    if response.has_redirect_location:
        return f"{server} redirects to {response.headers['location']}. Set that with client.set_baseurl(...)."
    text = " ".join(response.text.split())[:200]
    return f"{server} answered {response.reason_phrase or response.status_code}{text and f': {text}'}"


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def response_error(url: httpx.URL, body: str, reason: str) -> APIResponseError:
    """The error for what a server sent under 2xx and should not have."""
    return APIResponseError(
        f"{url.copy_with(username=None, password=None)} did not answer as the API describes: {reason}. "
        f"Is that an OpenAI-compatible server? It sent {body[:200]!r}.",
        body=body,
    )


def _what_is_wrong(invalid: ValueError) -> str:
    if not isinstance(invalid, ValidationError):
        return str(invalid)
    first = invalid.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
