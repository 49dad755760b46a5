"""Requests to the Kubernetes API by asyncio."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp

from fastchat._kube import response
from fastchat._kube.access import Access
from fastchat._kube.errors import UnreachableError
from fastchat._kube.request import Request

CONNECT_SECONDS = 5.0
HEAD_SECONDS = 15.0
"""Longest wait for the head of a response."""
WHOLE_SECONDS = 20.0
_BUFFER_BYTES = 2**21
"""Of a watch; an object has 1.5 MiB at most."""

_AWAY = (aiohttp.ClientError, OSError, TimeoutError)


class AsyncClient:
    """One set of credentials at one API server; an async context."""

    def __init__(self, access: Access, user_agent: str, *, trust_env: bool = False) -> None:
        """`trust_env`: whether a proxy of the environment is meant; aiohttp looks for it in a thread each time."""
        self._access = access
        self._user_agent = user_agent
        self._trust_env = trust_env

    async def __aenter__(self) -> Self:
        """Raises CredentialsError."""
        secure = self._access.server.startswith("https:")
        tls = await asyncio.to_thread(self._access.tls) if secure else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=[("User-Agent", self._user_agent), *self._access.headers],
            read_bufsize=_BUFFER_BYTES,
            trust_env=self._trust_env,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, request: Request, *, silence: float | None = None) -> dict[str, Any]:
        """What the API server says, in `WHOLE_SECONDS`; or, however long it takes, without so many seconds' silence.

        Raises ApiError, CredentialsError.
        """
        whole = WHOLE_SECONDS if silence is None else None
        limits = aiohttp.ClientTimeout(total=whole, connect=CONNECT_SECONDS, sock_read=silence)
        found = await self._open(request, limits)
        try:
            body = await found.read()
        except _AWAY as error:
            raise UnreachableError.of(error) from error
        finally:
            found.release()
        return response.decode(body)

    @asynccontextmanager
    async def stream(self, request: Request, silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of a response as they arrive, which ends in ApiError after so many seconds without one.

        Raises ApiError, CredentialsError.
        """
        found = await self._open(request, aiohttp.ClientTimeout(connect=CONNECT_SECONDS, sock_read=silence))
        try:
            yield _pieces(found.content)
        finally:
            found.close()

    async def _open(self, request: Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        headers = request.headers | await self._authorization()
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                found = await self._session.request(
                    request.method,
                    f"{self._access.server}{request.target}",
                    data=request.content,
                    headers=headers,
                    timeout=limits,
                    allow_redirects=False,
                    proxy=self._access.proxy,
                    server_hostname=self._access.server_name,
                )
                if found.status < 300:
                    return found
                async with found:
                    body = await found.read()
        except _AWAY as error:
            raise UnreachableError.of(error) from error
        if found.status == 401:
            self._access.credentials.forget()
        lower = {name.lower(): value for name, value in found.headers.items()}
        raise response.refusal(found.status, found.reason or "", lower, body)

    async def _authorization(self) -> dict[str, str]:
        credentials = self._access.credentials
        if credentials.blocks:
            value = await asyncio.to_thread(credentials.authorization)
        else:
            value = credentials.authorization()
        return {"Authorization": value} if value else {}


async def _pieces(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    try:
        while part := await content.readany():
            yield part
    except _AWAY as error:
        raise UnreachableError.of(error) from error
