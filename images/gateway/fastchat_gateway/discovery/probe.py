"""A look at a worker: is it ready, and what does it serve? Its response is bounded, and a redirect is not followed."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Literal, Self

import aiohttp
import msgspec

from fastchat._runtime.resuming import HANDOVER_PATH
from fastchat.api.routes import MODELS
from fastchat.demand import Loading, read_loading
from fastchat_gateway import descriptors

READY_PATHS = ("/ready", "/health")
"""Engines without the first have the second."""

_LARGEST_LIST = 2**20
_NO_CONTENT = 204
_Text = Annotated[str, msgspec.Meta(max_length=512)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


Sign = Literal["alive", "gone", "silent"]


class Card(msgspec.Struct):
    """What is read of an entry of a worker's `GET /v1/models`."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    created: _Count = 0
    root: _Text | None = None
    parent: _Text | None = None
    task: _Text | None = None
    max_model_len: _Count | None = None


class _Cards(msgspec.Struct):
    data: Annotated[list[Card], msgspec.Meta(max_length=1000)]


class _State(msgspec.Struct):
    """What is read of a worker's `GET /ready`."""

    digest: _Text | None = None
    loading: Any = None


class Probe:
    """Probes workers; one without a response within `timeout` seconds is not ready.

    `token`: what workers know this gateway by.
    """

    def __init__(self, timeout: float, token: bytes | None = None) -> None:
        self._timeout = timeout
        self._headers = {"accept-encoding": "identity"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token.decode('ascii')}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), headers=self._headers, auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ready(self, url: str, paths: Sequence[str] = READY_PATHS) -> bool | None:
        """The first of the paths that the worker knows has status 200; None: no connection to it can be made here."""
        status = 404
        try:
            async with asyncio.timeout(self._timeout):
                for path in paths:
                    if status == 404:
                        status = await self._status(url + path)
        except (aiohttp.ClientError, OSError) as error:
            return None if descriptors.lacking(error) else False
        return status == 200

    async def sign(self, url: str) -> Sign:
        """alive: a response of any status, or it cannot be probed. gone: nobody listens. silent: no response."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._status(f"{url}/health")
        except (aiohttp.ClientError, OSError) as error:
            if descriptors.lacking(error):
                return "alive"
            refused = isinstance(error, aiohttp.ClientConnectorError) and isinstance(
                error.os_error, ConnectionRefusedError
            )
            return "gone" if refused else "silent"
        return "alive"

    async def cards(self, url: str) -> list[Card] | None:
        """The models of a worker, each name once; None where it does not say, or says it compressed or endlessly."""
        try:
            async with asyncio.timeout(self._timeout), self._get(f"{url}{MODELS.worker_path}") as response:
                body = await _read(response) if response.status == 200 else None
            cards = None if body is None else msgspec.json.decode(body, type=_Cards).data
        except (aiohttp.ClientError, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return cards and list({card.id: card for card in cards}.values())

    async def digest(self, url: str) -> str | None:
        """What model a worker has, whether it is ready or not; None where it does not say."""
        state = await self._state(url)
        return state.digest if state else None

    async def loading(self, url: str) -> Loading | None:
        """How far a worker is that still loads; None where it does not, or does not say."""
        state = await self._state(url)
        return read_loading(state.loading) if state else None

    async def _state(self, url: str) -> _State | None:
        try:
            async with asyncio.timeout(self._timeout), self._get(f"{url}/ready") as response:
                body = await _read(response)
            return None if body is None else msgspec.json.decode(body, type=_State)
        except (aiohttp.ClientError, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    async def hand_over(self, url: str) -> bool:
        """Has a worker that stops give back what it has; False where it does not."""
        try:
            async with asyncio.timeout(self._timeout), self._session.post(url + HANDOVER_PATH) as response:
                return response.status == _NO_CONTENT
        except (aiohttp.ClientError, OSError):
            return False

    async def _status(self, url: str) -> int:
        async with self._get(url) as response:
            return response.status

    def _get(self, url: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.get(url, allow_redirects=False)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None for what is larger or other than a list of models."""
    if response.headers.get("content-encoding", "identity") != "identity":
        return None
    body = b""
    async for part in response.content.iter_any():
        body += part
        if len(body) > _LARGEST_LIST:
            return None
    return body
