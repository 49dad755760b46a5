"""The events of a streamed response, as they come: blocking and asynchronous."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx

from fastchat import api
from fastchat._client.losses import Again, Losses
from fastchat._client.protocol import EventReader
from fastchat.errors import FastChatError

T = TypeVar("T", bound=api.Response)


class Stream(Generic[T]):
    """Iterator over the events of a response, as they come.

    Leaving a `for` loop over it, for whatever reason, closes the connection, and the server stops generating.
    Whoever calls `next` instead uses `with`, or `close()`. Where the connection is lost and the server can go on from
    what has come, it is asked to, and the events go on.

    Raises, while iterating:
        APIConnectionError: the connection broke, or the stream ended without `[DONE]`: the response is incomplete.
        APIStatusError: the server broke off with an error.
        APIResponseError: an event is not what the API describes.
    """

    def __init__(self, response: httpx.Response, reader: EventReader[T], again: Again[httpx.Response]) -> None:
        """`again` refers to the transport, which closes its connections when nothing does any more."""
        self._current = _Current(response)
        self._events = _events(self._current, reader, again)

    def __next__(self) -> T:
        return next(self._events)

    def __iter__(self) -> Iterator[T]:
        yield from self._events  # what closes this generator, as leaving a loop does, closes that one too

    def close(self) -> None:
        """Close the connection, unless the response was read to its end."""
        self._events.close()
        self._current.response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _events(current: "_Current", reader: EventReader[T], again: Again[httpx.Response]) -> Generator[T]:
    losses = Losses(reader.progress, again.most)
    while True:
        try:
            for chunk in current.response.iter_bytes():  # beyond [DONE], so that the connection can be used again
                yield from reader.feed(chunk)
            reader.end()
        except (httpx.HTTPError, FastChatError) as failure:
            if reader.done:
                return
            delay = losses.delay(failure)
        else:
            return
        finally:
            current.response.close()
        time.sleep(delay)
        current.response = again.send(reader.progress.document())
        reader.go_on(current.response)


class AsyncStream(Generic[T]):
    """Asynchronous iterator over the events of a response, as they come.

    Leaving an `async for` loop over it, for whatever reason, closes the connection, and the server stops generating.
    Whoever calls `anext` instead uses `async with`, or `aclose()`. Another task may call that too: iteration then ends.
    It goes on after a lost connection as `Stream` does.

    Raises, while iterating:
        APIConnectionError: the connection broke, or the stream ended without `[DONE]`: the response is incomplete.
        APIStatusError: the server broke off with an error.
        APIResponseError: an event is not what the API describes.
    """

    def __init__(
        self, response: httpx.Response, reader: EventReader[T], again: Again[Awaitable[httpx.Response]]
    ) -> None:
        """`again` refers to the transport, which closes its connections when nothing does any more."""
        self._current = _Current(response)
        self._events = _aevents(self._current, reader, again)
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
        self._current.closed = True
        await self._current.response.aclose()
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
        if not self._current.response.is_closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.create_task, self._current.response.aclose())


async def _aevents(
    current: "_Current", reader: EventReader[T], again: Again[Awaitable[httpx.Response]]
) -> AsyncGenerator[T]:
    losses = Losses(reader.progress, again.most)
    while True:
        try:
            async for chunk in current.response.aiter_bytes():
                for event in reader.feed(chunk):
                    yield event
            reader.end()
        except (httpx.HTTPError, FastChatError) as failure:
            if reader.done or current.closed:
                return
            delay = losses.delay(failure)
        else:
            return
        finally:
            await current.response.aclose()
        await asyncio.sleep(delay)
        current.response = await again.send(reader.progress.document())
        reader.go_on(current.response)


@dataclass
class _Current:
    """The response that is read; not in the stream itself, which nothing may refer to that it refers to.

    closed: nobody reads any more.
    """

    response: httpx.Response
    closed: bool = False
