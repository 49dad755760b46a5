"""The one place that moves bytes to workers and back."""

import io
import socket
from functools import lru_cache
from typing import Any, Self

import aiohttp
from yarl import URL

BUFFERED_BYTES = 2**20
# Below the 5 seconds after which uvicorn, and so most workers, close an idle connection: it is never a stale one.
IDLE_SECONDS = 4.0

Headers = list[tuple[bytes, bytes]]

_FORWARDED = frozenset({b"content-type", b"content-encoding", b"cache-control", b"retry-after"})


class WorkerFailed(Exception):  # noqa: N818  # the worker's failure, not ours
    """The worker did not answer; `lost`: after it had got the request."""

    def __init__(self, reason: str, *, lost: bool) -> None:
        super().__init__(reason)
        self.lost = lost


class Answer:
    """A worker's answer: its head and the first bytes of its body are here, more may follow."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.streams = response.headers.get("content-type", "").startswith("text/event-stream")
        self.body = b""
        self.complete = False

    @property
    def headers(self) -> Headers:
        """Those that reach the client; the head is rebuilt, so that hop-by-hop headers never pass."""
        return [
            (name, value)
            for name, value in ((name.lower(), value) for name, value in self._response.raw_headers)
            if name in _FORWARDED or (name.startswith(b"x-") and name != b"x-request-id")
        ]

    async def start(self) -> None:
        """Wait for the first bytes of a stream; take any other body as a whole, if it is not too large."""
        content = self._response.content
        parts: list[bytes] = []
        size = 0
        while not content.at_eof():
            parts.append(await self.more())
            size += len(parts[-1])
            if self.streams or size > BUFFERED_BYTES:
                break
        self.complete = content.at_eof()
        self.body = parts[0] if len(parts) == 1 else b"".join(parts)

    async def more(self) -> bytes:
        """The next bytes, empty at the end; raises WorkerFailed when the worker is gone."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise WorkerFailed(_reason(error), lost=True) from error

    def close(self) -> None:
        """Forget what is left of it: the worker sees its connection closed and stops."""
        self._response.close()


class Transport:
    """Connections to workers, kept open between requests."""

    def __init__(self, connect_timeout: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, socket_factory=_socket),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),  # one client's cookies are not another's
            auto_decompress=False,
            skip_auto_headers=("accept-encoding", "user-agent"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, endpoint: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """The worker's answer as soon as its first bytes are there; raises WorkerFailed if they never come."""
        data = body if len(body) <= BUFFERED_BYTES else io.BytesIO(body)
        try:
            response = await self._session.post(_url(endpoint, path), data=data, headers=headers, allow_redirects=False)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise WorkerFailed(_reason(error), lost=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise WorkerFailed(_reason(error), lost=True) from error
        answer = Answer(response)
        try:
            await answer.start()
        except BaseException:
            answer.close()
            raise
        return answer


@lru_cache(maxsize=4096)
def _url(endpoint: str, path: str) -> URL:
    return URL(endpoint + path)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _socket(address: Any) -> socket.socket:
    """A socket that notices within half a minute that the other machine is gone, also while it waits for an answer."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    return sock
