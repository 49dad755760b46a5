"""The events of a streamed response, as they come: blocking and asynchronous."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx

from fastchat import api
from fastchat._client.failures import connection_error
from fastchat._client.protocol import EventReader

T = TypeVar("T", bound=api.Response)


class Stream(Generic[T]):
    """Iterator over the events of a response, as they come.

    Leaving a `for` loop over it, for whatever reason, closes the connection, and the server stops generating.
    Whoever calls `next` instead uses `with`, or `close()`.

    Raises, while iterating:
        APIConnectionError: the connection broke, or the stream ended without `[DONE]`: the response is incomplete.
        APIStatusError: the server broke off with an error.
        APIResponseError: an event is not what the API describes.
    """

    def __init__(self, response: httpx.Response, reader: EventReader[T], transport: object) -> None:
        """`transport` closes its connections when nothing refers to it any more; this does until the stream ends."""
        self._response = response
        self._transport = transport
        self._events = _events(response, reader)

    def __next__(self) -> T:
        return next(self._events)

    def __iter__(self) -> Iterator[T]:
        yield from self._events  # what closes this generator, as leaving a loop does, closes that one too

    def close(self) -> None:
        """Close the connection, unless the response was read to its end."""
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


class AsyncStream(Generic[T]):
    """Asynchronous iterator over the events of a response, as they come.

    Leaving an `async for` loop over it, for whatever reason, closes the connection, and the server stops generating.
    Whoever calls `anext` instead uses `async with`, or `aclose()`. Another task may call that too: iteration then ends.

    Raises, while iterating:
        APIConnectionError: the connection broke, or the stream ended without `[DONE]`: the response is incomplete.
        APIStatusError: the server broke off with an error.
        APIResponseError: an event is not what the API describes.
    """

    def __init__(self, response: httpx.Response, reader: EventReader[T], transport: object) -> None:
        """`transport` closes its connections when nothing refers to it any more; this does until the stream ends."""
        self._response = response
        self._transport = transport
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
        """Close the connection, unless the response was read to its end."""
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
