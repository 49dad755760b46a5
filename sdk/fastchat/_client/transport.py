"""The client's two drivers, blocking and asynchronous. What they send and what it means is decided in `_protocol`."""

import asyncio
import functools
import itertools
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx

from fastchat import api
from fastchat._client.failures import connection_error
from fastchat._client.protocol import Call, EventReader, handle_response, is_event_stream, prepare_request, settle
from fastchat._client.retry import Outcome, retry_delay
from fastchat._client.settings import Settings

T = TypeVar("T", bound=api.Response)

# Calls beyond max_connections wait for one another: a process may often open no more than 1,024 files.
# uvicorn closes a connection that was idle for 5 s: ours go first, or a request could meet a closing one.
_LIMITS = httpx.Limits(max_connections=500, max_keepalive_connections=100, keepalive_expiry=4.0)

# --------------------------------------------------------------------------------------------------------------------
# Blocking
# --------------------------------------------------------------------------------------------------------------------


def request(settings: Settings, call: Call[T]) -> T:
    """Send a call and wait for its result."""
    return handle_response(call, _send(settings, call, stream=False))


def stream(settings: Settings, call: Call[T]) -> "Stream[T]":
    """Send a call and wait for its stream to begin."""
    response = _send(settings, call, stream=True)
    return Stream(response, EventReader(call, response))


def _send(settings: Settings, call: Call[T], *, stream: bool) -> httpx.Response:
    request = prepare_request(settings, call)
    for attempt in itertools.count():
        outcome = _attempt(request, stream=stream)
        delay = retry_delay(outcome, attempt, settings.max_retries)
        if delay is None:
            break
        time.sleep(delay)
    return settle(outcome, stream=stream)


def _attempt(request: httpx.Request, *, stream: bool) -> Outcome:
    try:
        response = _client().send(request, stream=stream)
        if not is_event_stream(response):
            response.read()
    except httpx.HTTPError as failure:
        return failure
    return response


@functools.cache
def _client() -> httpx.Client:
    """The one blocking client; threads may share it."""
    return httpx.Client(limits=_LIMITS)


if hasattr(os, "register_at_fork"):
    # A child that wrote to its parent's connections would mix up both their answers.
    os.register_at_fork(after_in_child=_client.cache_clear)


class Stream(Generic[T]):
    """Iterator over the events of an answer, as they come.

    Leaving a `for` loop over it, for whatever reason, closes the connection, and the server stops generating.
    Whoever calls `next` instead uses `with`, or `close()`.

    Raises, while iterating:
        APIConnectionError: the connection broke, or the stream ended without `[DONE]`: the answer is incomplete.
        APIStatusError: the server broke off with an error.
        APIResponseError: an event is not what the API describes.
    """

    def __init__(self, response: httpx.Response, reader: EventReader[T]) -> None:
        self._response = response
        self._events = _events(response, reader)

    def __next__(self) -> T:
        return next(self._events)

    def __iter__(self) -> Iterator[T]:
        yield from self._events  # what closes this generator, as leaving a loop does, closes that one too

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        self._events.close()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _events(response: httpx.Response, reader: EventReader[T]) -> Generator[T]:
    try:
        for chunk in response.iter_bytes():  # to the end, beyond [DONE]: the connection can then be used again
            yield from reader.feed(chunk)
        reader.end()
    except httpx.HTTPError as failure:
        if not reader.done:
            raise connection_error(failure) from failure
    finally:
        response.close()


# --------------------------------------------------------------------------------------------------------------------
# Asynchronous
# --------------------------------------------------------------------------------------------------------------------


async def arequest(settings: Settings, call: Call[T]) -> T:
    """Send a call and wait for its result."""
    return handle_response(call, await _asend(settings, call, stream=False))


async def astream(settings: Settings, call: Call[T]) -> "AsyncStream[T]":
    """Send a call and wait for its stream to begin."""
    response = await _asend(settings, call, stream=True)
    return AsyncStream(response, EventReader(call, response))


async def _asend(settings: Settings, call: Call[T], *, stream: bool) -> httpx.Response:
    request = prepare_request(settings, call)
    for attempt in itertools.count():
        outcome = await _aattempt(request, stream=stream)
        delay = retry_delay(outcome, attempt, settings.max_retries)
        if delay is None:
            break
        await asyncio.sleep(delay)
    return settle(outcome, stream=stream)


async def _aattempt(request: httpx.Request, *, stream: bool) -> Outcome:
    client = await _aclient()
    try:
        response = await client.send(request, stream=stream)
        if not is_event_stream(response):
            await response.aread()
    except httpx.HTTPError as failure:
        return failure
    return response


_clients: dict[asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, AsyncGenerator[None]]] = {}


async def _aclient() -> httpx.AsyncClient:
    """The client of the running event loop.

    A connection belongs to the loop it was opened in, so each loop has a client; one per call would open a connection
    per call. A WeakKeyDictionary would never let go: an open connection refers to its loop.
    """
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        for ended in [other for other in list(_clients) if other.is_closed()]:
            _clients.pop(ended, None)
        client = httpx.AsyncClient(limits=_LIMITS)
        lifetime = _close_with_loop(client, loop)
        _clients[loop] = client, lifetime
        await anext(lifetime)
    return _clients[loop][0]


async def _close_with_loop(client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None]:
    """Close the client before its loop: `asyncio.run` closes, at its end, the asynchronous generators still open."""
    try:
        yield
    finally:
        _clients.pop(loop, None)
        await client.aclose()


class AsyncStream(Generic[T]):
    """Asynchronous iterator over the events of an answer, as they come.

    Leaving an `async for` loop over it, for whatever reason, closes the connection, and the server stops generating.
    Whoever calls `anext` instead uses `async with`, or `aclose()`. Another task may call that too: iteration then ends.

    Raises, while iterating:
        APIConnectionError: the connection broke, or the stream ended without `[DONE]`: the answer is incomplete.
        APIStatusError: the server broke off with an error.
        APIResponseError: an event is not what the API describes.
    """

    def __init__(self, response: httpx.Response, reader: EventReader[T]) -> None:
        self._response = response
        self._events = _aevents(response, reader)
        self._loop = asyncio.get_running_loop()

    async def __anext__(self) -> T:
        return await anext(self._events)

    async def __aiter__(self) -> AsyncIterator[T]:
        try:
            async for event in self._events:
                yield event
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        await self._response.aclose()
        # It runs while another task waits for an event; the closed connection has ended that.
        if not self._events.ag_running:  # type: ignore[attr-defined]  # typeshed's ABC lacks it
            await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not self._response.is_closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.create_task, self._response.aclose())


async def _aevents(response: httpx.Response, reader: EventReader[T]) -> AsyncGenerator[T]:
    try:
        async for chunk in response.aiter_bytes():
            for event in reader.feed(chunk):
                yield event
        reader.end()
    except httpx.HTTPError as failure:
        if not (reader.done or response.is_closed):
            raise connection_error(failure) from failure
    finally:
        await response.aclose()
