"""The client's two drivers, blocking and asynchronous. What they send and what comes of it is decided in `protocol`."""

import asyncio
import itertools
import os
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import httpx

from fastchat import api
from fastchat._client.losses import Again
from fastchat._client.protocol import (
    Call,
    EventReader,
    checked,
    handle_response,
    is_event_stream,
    prepare_request,
    with_defaults,
)
from fastchat._client.retry import Outcome, retry_delay
from fastchat._client.settings import Settings
from fastchat._client.stream import AsyncStream, Stream

T = TypeVar("T", bound=api.Response)

# Calls beyond max_connections wait for one another: a process may often open no more than 1,024 files.
# uvicorn closes a connection that was idle for 5 s: ours go first, or a request could meet a closing one.
_LIMITS = httpx.Limits(max_connections=500, max_keepalive_connections=100, keepalive_expiry=4.0)


class Transport:
    """Sends calls and blocks until their responses are there. Threads may share it."""

    def __init__(self, settings: Callable[[], Settings], http_client: httpx.Client | None = None) -> None:
        """`settings` is called for each call; without `http_client` an httpx client is made for the first one."""
        self._settings = settings
        self._given = http_client
        self._made: dict[int, httpx.Client] = {}
        """By process: a forked child that wrote to its parent's connections would mix up both their responses."""
        self._closed = False
        weakref.finalize(self, _close, self._made)  # when nothing refers to it any more, and at the interpreter's end

    def request(self, call: Call[T]) -> T:
        """Send a call and wait for its result.

        Raises:
            FastChatError: which of them, see `fastchat.errors`.
            RuntimeError: after `close()`.
        """
        return handle_response(call, self._send(call, stream=False))

    def stream(self, call: Call[T]) -> Stream[T]:
        """Send a call and wait for its stream to begin; raises as `request` does."""
        response = self._send(call, stream=True)
        again = Again(lambda progress: self._send(call, stream=True, progress=progress), self._settings().max_retries)
        return Stream(response, EventReader(call, response), again)

    def close(self) -> None:
        """Close the connections, unless they are of a client that was given."""
        self._closed = True
        _close(self._made)

    def _send(self, call: Call[T], *, stream: bool, progress: bytes = b"") -> httpx.Response:
        settings, client = self._settings(), self._client()
        request = prepare_request(settings, call, progress)
        if self._given is not None:
            request = with_defaults(self._given, request)
        for attempt in itertools.count():
            outcome = _attempt(client, request, stream=stream)
            delay = retry_delay(outcome, attempt, settings.max_retries)
            if delay is None:
                break
            time.sleep(delay)
        return checked(outcome, stream=stream)

    def _client(self) -> httpx.Client:
        if self._closed:
            raise RuntimeError("This client is closed.")
        if self._given is not None:
            return self._given
        process = os.getpid()
        return self._made.get(process) or self._made.setdefault(process, httpx.Client(limits=_LIMITS))


def _close(made: dict[int, httpx.Client]) -> None:
    client = made.pop(os.getpid(), None)
    if client is not None:
        client.close()


def _attempt(client: httpx.Client, request: httpx.Request, *, stream: bool) -> Outcome:
    try:
        response = client.send(request, stream=stream)
        if not is_event_stream(response):
            response.read()
    except httpx.HTTPError as failure:
        return failure
    return response


class AsyncTransport:
    """Sends calls and is awaited for their responses. Tasks, and event loops after or beside one another, may share it.

    A connection belongs to the loop it was opened in, so each loop has an httpx client; one per call would open a
    connection per call. A WeakKeyDictionary would never let go: an open connection refers to its loop.
    """

    def __init__(self, settings: Callable[[], Settings], http_client: httpx.AsyncClient | None = None) -> None:
        """`settings` is called for each call; without `http_client` each loop's first call makes an httpx client."""
        self._settings = settings
        self._given = http_client
        self._made: dict[asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, AsyncGenerator[None]]] = {}
        self._closed = False

    async def request(self, call: Call[T]) -> T:
        """Send a call and wait for its result.

        Raises:
            FastChatError: which of them, see `fastchat.errors`.
            RuntimeError: after `aclose()`.
        """
        return handle_response(call, await self._send(call, stream=False))

    async def stream(self, call: Call[T]) -> AsyncStream[T]:
        """Send a call and wait for its stream to begin; raises as `request` does."""
        response = await self._send(call, stream=True)
        again = Again(lambda progress: self._send(call, stream=True, progress=progress), self._settings().max_retries)
        return AsyncStream(response, EventReader(call, response), again)

    async def aclose(self) -> None:
        """Close the running loop's connections, unless they are of a client that was given.

        Those of other loops are closed when these end.
        """
        self._closed = True
        _, lifetime = self._made.get(asyncio.get_running_loop(), (None, None))
        if lifetime is not None:
            await lifetime.aclose()

    async def _send(self, call: Call[T], *, stream: bool, progress: bytes = b"") -> httpx.Response:
        settings, client = self._settings(), await self._client()
        request = prepare_request(settings, call, progress)
        if self._given is not None:
            request = with_defaults(self._given, request)
        for attempt in itertools.count():
            outcome = await _aattempt(client, request, stream=stream)
            delay = retry_delay(outcome, attempt, settings.max_retries)
            if delay is None:
                break
            await asyncio.sleep(delay)
        return checked(outcome, stream=stream)

    async def _client(self) -> httpx.AsyncClient:
        if self._closed:
            raise RuntimeError("This client is closed.")
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            for ended in [other for other in list(self._made) if other.is_closed()]:
                self._made.pop(ended, None)
            client = httpx.AsyncClient(limits=_LIMITS)
            lifetime = _close_with_loop(client, self._made, loop)
            self._made[loop] = client, lifetime
            await anext(lifetime)
        return self._made[loop][0]


async def _close_with_loop(
    client: httpx.AsyncClient,
    made: dict[asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, AsyncGenerator[None]]],
    loop: asyncio.AbstractEventLoop,
) -> AsyncGenerator[None]:
    """Close the client before its loop: `asyncio.run` closes, at its end, the asynchronous generators still open."""
    try:
        yield
    finally:
        made.pop(loop, None)
        await client.aclose()


async def _aattempt(client: httpx.AsyncClient, request: httpx.Request, *, stream: bool) -> Outcome:
    try:
        response = await client.send(request, stream=stream)
        if not is_event_stream(response):
            await response.aread()
    except httpx.HTTPError as failure:
        return failure
    return response
