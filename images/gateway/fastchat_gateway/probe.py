"""A look at a worker: is it ready, and what does it serve?"""

import asyncio
from collections.abc import Sequence
from typing import Self

import aiohttp
import msgspec

from fastchat_gateway import descriptors

READY_PATHS = ("/ready", "/health")
"""Engines without the first have the second."""


class Card(msgspec.Struct):
    """What is read of an entry of a worker's `GET /v1/models`."""

    id: str
    created: int = 0
    root: str | None = None
    task: str | None = None
    max_model_len: int | None = None


class _Cards(msgspec.Struct):
    data: list[Card]


class Probe:
    """Asks workers; one that does not answer within `timeout` seconds has answered no."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ready(self, url: str, paths: Sequence[str] = READY_PATHS) -> bool | None:
        """The first of the paths that the worker knows answers 200; None: it cannot be asked."""
        status = 404
        try:
            async with asyncio.timeout(self._timeout):
                for path in paths:
                    if status == 404:
                        status = await self._status(url + path)
        except (aiohttp.ClientError, OSError) as error:
            return None if descriptors.lacking(error) else False
        return status == 200

    async def lives(self, url: str) -> bool:
        """It answers, whatever it says; or it cannot be asked, which is no sign of its death."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._status(f"{url}/health")
        except (aiohttp.ClientError, OSError) as error:
            return descriptors.lacking(error)
        return True

    async def cards(self, url: str) -> list[Card] | None:
        """The models of a worker, each name once; None where it does not say."""
        try:
            async with asyncio.timeout(self._timeout), self._session.get(f"{url}/v1/models") as answer:
                cards = msgspec.json.decode(await answer.read(), type=_Cards).data if answer.status == 200 else None
        except (aiohttp.ClientError, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return cards and list({card.id: card for card in cards}.values())

    async def _status(self, url: str) -> int:
        async with self._session.get(url) as answer:
            return answer.status
