"""The client's core, without input or output: what is sent for a call, and what a response means."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from fastchat import api
from fastchat._client.failures import (
    connection_error,
    response_error,
    server_of,
    status_error,
    unless_error,
    what_is_wrong,
)
from fastchat._client.progress import Progress
from fastchat._client.retry import Outcome
from fastchat._client.settings import Settings, timeouts
from fastchat._client.sse import Comment, EventParser
from fastchat._runtime.resuming import RESUME_HEADER
from fastchat._runtime.version import version
from fastchat.errors import APIConnectionError

T = TypeVar("T", bound=api.Response)


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of the API."""

    path: str
    """As the table of routes has it."""
    read: Callable[[bytes | str], T]
    """Makes the result of a response's JSON, or in a stream of each event's; raises ValueError."""
    body: Mapping[str, Any] | None = None
    """None: a GET."""
    timeout: float | None = None
    """Instead of the settings' timeout."""


def prepare_request(settings: Settings, call: Call[Any], progress: bytes = b"") -> httpx.Request:
    """The HTTP request of a call. progress: what a server is to go on from, where it has begun with it.

    Raises:
        TypeError: a parameter that JSON cannot carry.
        ValueError: a number that JSON cannot carry (nan, inf), or a bad timeout.
    """
    headers = {"User-Agent": f"fastchat-python/{version()}"}
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key}"
    content = None
    if call.body is not None:
        headers["Content-Type"] = "application/json"
        content = json.dumps(call.body, default=_plain, ensure_ascii=False, allow_nan=False).encode()
        if progress:
            headers[RESUME_HEADER] = str(len(progress))
            content = progress + content
    return httpx.Request(
        "GET" if content is None else "POST",
        f"{settings.base_url}{call.path}",
        headers=headers,
        content=content,
        extensions={"timeout": timeouts(settings.timeout if call.timeout is None else call.timeout)},
    )


def with_defaults(client: httpx.Client | httpx.AsyncClient, request: httpx.Request) -> httpx.Request:
    """The request with what `client` adds to each: headers, cookies, parameters. The request's own headers win."""
    return client.build_request(
        request.method,
        request.url,
        headers=request.headers,
        content=request.content or None,
        extensions=request.extensions,
    )


def _plain(value: object) -> Any:
    """What json does not know: numpy's arrays and numbers and pandas' Series by `tolist`, results by `to_dict`."""
    for name in ("tolist", "to_dict"):  # in this order: the to_dict of a Series is keyed by its index
        if convert := getattr(value, name, None):
            return convert()
    raise TypeError(f"Cannot send {value!r} ({type(value).__name__}): JSON has no such type.")


def checked(outcome: Outcome, *, stream: bool) -> httpx.Response:
    """The response, if it is a success and of the kind that was requested.

    Raises:
        FastChatError: which of them, see `fastchat.errors`.
    """
    if isinstance(outcome, httpx.HTTPError):
        raise connection_error(outcome) from outcome
    if not outcome.is_success:
        raise status_error(outcome)
    if stream and not is_event_stream(outcome):
        raise response_error(outcome.url, outcome.text, "a stream of events was requested")
    return outcome


def is_event_stream(response: httpx.Response) -> bool:
    """Whether the body is a stream, to be read event by event."""
    return response.is_success and response.headers.get("content-type", "").startswith("text/event-stream")


def handle_response(call: Call[T], response: httpx.Response) -> T:
    """The result of a 2xx response.

    Raises:
        APIResponseError: not a JSON object of this call.
        APIStatusError: an error after all, under a 2xx.
    """
    try:
        result = call.read(response.content)
    except ValueError as invalid:
        raise response_error(response.url, response.text, what_is_wrong(invalid)) from invalid
    return unless_error(result, response)


class EventReader(Generic[T]):
    """Makes a stream's bytes results.

    Where the server can go on with a stream after it was lost, an event is given when it is known what it is made of:
    that is said behind it.
    """

    def __init__(self, call: Call[T], response: httpx.Response) -> None:
        self._call = call
        self.progress = Progress()
        self.done = False
        """`[DONE]` has come: the response is complete, whatever becomes of the connection."""
        self.go_on(response)

    def go_on(self, response: httpx.Response) -> None:
        """What comes next is of this response, which goes on where the one before was lost."""
        self._response = response
        self._parser = EventParser()
        self._held: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[T]:
        """The results that `chunk` completes.

        Raises:
            APIStatusError: the server broke off with an error.
            APIResponseError: an event that is not a JSON object of this call.
        """
        for item in self._parser.feed(chunk):
            if isinstance(item, Comment):
                gives = self.progress.note(item)
            else:
                self.done = self.done or item == "[DONE]"
                self._held += [] if self.done else [item]
                gives = self.done or not self.progress.is_known
            if gives:
                held, self._held = self._held, []
                yield from map(self._result, held)

    def end(self) -> None:
        """The stream has ended.

        Raises:
            APIConnectionError: before `[DONE]`.
            APIStatusError: with an error.
        """
        for data in self._held:
            self._result(data)
        if not self.done:
            raise APIConnectionError(
                f"The stream from {server_of(self._response.url)} ended without [DONE]: the response is incomplete."
            )

    def _result(self, data: str) -> T:
        try:
            result = self._call.read(data)
        except ValueError as invalid:
            raise response_error(self._response.url, data, what_is_wrong(invalid)) from invalid
        return unless_error(result, self._response)
