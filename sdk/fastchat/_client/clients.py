"""`Client` and `AsyncClient`: one server, with settings and connections of its own."""

# `timeout` is of the server's silence; asyncio.timeout is of the whole call

from types import TracebackType
from typing import Self

import httpx

from fastchat._client.resources import AsyncResources, Resources
from fastchat._client.settings import Settings, resolve
from fastchat._client.transport import AsyncTransport, Transport


class Client(Resources):
    """Calls one server, and blocks until its response is there. Threads may share it.

        with fastchat.Client(base_url="http://localhost:8000") as client:
            completion = client.chat.completions.create(
                model="vicuna-7b-v1.5",
                messages=[{"role": "user", "content": "Hello!"}],
            )

    Its resources are `chat.completions`, `completions`, `embeddings`, `rerank`, `score` and `models`. What is set here
    is of this client alone: neither another client nor `fastchat.client.set_…` changes it.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = Settings.timeout,
        max_retries: int = Settings.max_retries,
        http_client: httpx.Client | None = None,
    ) -> None:
        """
        Args:
            base_url: the server, `http://host:port`, with or without `/v1`. None: the environment's FASTCHAT_BASEURL,
                or without it http://localhost:8000.
            api_key: sent as a bearer token. None: the environment's FASTCHAT_API_KEY, if there is one; "": none.
            timeout: seconds the server may be silent, `math.inf`: for ever. A connection has to be there within 10 s,
                or within `timeout` if that is less.
            max_retries: how often a call is sent again, 0: never. Sent again are calls that reached no server (no
                connection, or none in time), and those that it refused with 429 or 503 and a Retry-After of at most a
                minute. Nothing else is: what may have reached a model is not sent twice.
            http_client: sends the requests instead of an httpx client of this one's own: for proxies, certificates,
                mounts, event hooks, headers. Its headers are sent too, its timeout is not used, and it stays open.

        Raises:
            TypeError: `http_client` is not an httpx.Client.
            ValueError: an argument, or what the environment has instead, can never work.
        """
        if not isinstance(http_client, httpx.Client | None):
            raise TypeError(f"http_client is {type(http_client).__name__}: a Client takes an httpx.Client.")
        settings = resolve(base_url, api_key, timeout, max_retries)
        self._transport = Transport(lambda: settings, http_client)
        super().__init__(self._transport)

    def close(self) -> None:
        """Close the connections, unless they are `http_client`'s. Calls raise RuntimeError from then on."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(AsyncResources):
    """Calls one server, and is awaited for its response. Tasks, and several event loops, may share it.

        async with fastchat.AsyncClient(base_url="http://localhost:8000") as client:
            stream = await client.chat.completions.create(
                model="vicuna-7b-v1.5",
                messages=[{"role": "user", "content": "Hello!"}],
                stream=True,
            )
            async for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="")

    Resources and settings are `Client`'s.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = Settings.timeout,
        max_retries: int = Settings.max_retries,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        """
        Args:
            base_url, api_key, timeout, max_retries: as `Client` has them.
            http_client: as `Client` has it, an httpx.AsyncClient. It belongs to the event loop that it is used in.

        Raises:
            TypeError: `http_client` is not an httpx.AsyncClient.
            ValueError: an argument, or what the environment has instead, can never work.
        """
        if not isinstance(http_client, httpx.AsyncClient | None):
            raise TypeError(f"http_client is {type(http_client).__name__}: an AsyncClient takes an httpx.AsyncClient.")
        settings = resolve(base_url, api_key, timeout, max_retries)
        self._transport = AsyncTransport(lambda: settings, http_client)
        super().__init__(self._transport)

    async def aclose(self) -> None:
        """Close the connections, unless they are `http_client`'s. Calls raise RuntimeError from then on."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
