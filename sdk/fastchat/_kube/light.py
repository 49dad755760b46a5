"""Requests to the Kubernetes API by asyncio and httpx: for users, who need not have aiohttp as our servers do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx

from fastchat._kube import response
from fastchat._kube.access import Access
from fastchat._kube.errors import UnreachableError
from fastchat._kube.request import Request
from fastchat._kube.sync import arguments, refusal

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class LightAsyncClient:
    """One set of credentials at one API server; an async context. A proxy of the environment is used."""

    def __init__(self, access: Access, user_agent: str) -> None:
        self._access = access
        self._user_agent = user_agent

    async def __aenter__(self) -> Self:
        """Raises CredentialsError."""
        secure = self._access.server.startswith("https:")
        self._http = httpx.AsyncClient(
            verify=await asyncio.to_thread(self._access.tls) if secure else False,
            headers=[("User-Agent", self._user_agent), *self._access.headers],
            proxy=self._access.proxy,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(self, request: Request) -> dict[str, Any]:
        """What the API server says; raises ApiError, CredentialsError."""
        async with self._opened(request, _TIMEOUT) as found:
            return response.decode(await found.aread())

    @asynccontextmanager
    async def stream(self, request: Request, silence: float | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of a response as they arrive.

        It ends in ApiError after `silence` seconds without one; None: never.

        Raises ApiError, CredentialsError.
        """
        async with self._opened(request, httpx.Timeout(silence, connect=10.0)) as found:
            yield found.aiter_bytes()

    @asynccontextmanager
    async def _opened(self, request: Request, limits: httpx.Timeout) -> AsyncIterator[httpx.Response]:
        """A response of status 2xx, its body not read yet; raises ApiError, also for what breaks while it is read."""
        credentials = self._access.credentials
        blocks = credentials.blocks
        value = await asyncio.to_thread(credentials.authorization) if blocks else credentials.authorization()
        try:
            async with self._http.stream(**arguments(self._access, request, value), timeout=limits) as found:
                if found.status_code >= 300:
                    await found.aread()
                    raise refusal(self._access, found)
                yield found
        except (httpx.HTTPError, OSError) as error:
            raise UnreachableError.of(error) from error
