"""All connections to workers: idle ones are kept for the next request, silent ones given up."""

import asyncio
import socket
import ssl
from collections import defaultdict
from functools import lru_cache
from typing import cast

from fastchat_gateway.clock import Clock
from fastchat_gateway.descriptors import lacking
from fastchat_gateway.errors import overloaded
from fastchat_gateway.workers.upstream import HEAD_SECONDS, Upstream, address_of

# Below the 5 seconds after which uvicorn, and so most workers, close an idle connection.
IDLE_SECONDS = 4.0


class ConnectError(Exception):
    """No connection to a worker came about; the text says why."""


class Pool:
    """All connections to workers."""

    def __init__(self, clock: Clock, connect_timeout: float) -> None:
        self.clock = clock
        self.connections: set[Upstream] = set()
        self._connect_timeout = connect_timeout
        self._idle: dict[str, list[Upstream]] = defaultdict(list)

    def take(self, url: str) -> Upstream | None:
        """An open connection that is free: the one used last, because it is the least likely to have been closed."""
        idle = self._idle.get(url)
        while idle:
            upstream = idle.pop()
            if not upstream.is_closing():
                return upstream
        return None

    async def connect(self, url: str) -> Upstream:
        """A new connection; raises ConnectError, or RefusedError where the gateway can have no more connections."""
        address, upstream = address_of(url), Upstream(self, url)
        loop = asyncio.get_running_loop()
        tls = _tls() if address.tls else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                transport, _ = await loop.create_connection(
                    lambda: cast(asyncio.Protocol, upstream), address.host, address.port, ssl=tls
                )
        except TimeoutError:
            raise ConnectError(f"no connection within {self._connect_timeout:g} s") from None
        except OSError as error:
            if lacking(error):
                raise overloaded() from error
            raise ConnectError(str(error) or type(error).__name__) from error
        _notice_death(transport.get_extra_info("socket"))
        return upstream

    def give_back(self, upstream: Upstream) -> None:
        """It may take another request."""
        self._idle[upstream.url].append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """It is closed."""
        self.connections.discard(upstream)
        idle = self._idle.get(upstream.url)
        if idle and upstream in idle:
            idle.remove(upstream)

    def sweep(self, silent_seconds: float) -> None:
        """Close what has been idle for long, and what has been silent for so long in the middle of a request."""
        now = self.clock.now
        for url, idle in list(self._idle.items()):
            for upstream in [each for each in idle if now - each.heard > IDLE_SECONDS]:
                upstream.abort()
            if not self._idle[url]:
                del self._idle[url]
        for upstream in self._silent(silent_seconds):
            upstream.give_up(f"not a byte for {silent_seconds:g} s", suspect=True)
        for upstream in [each for each in self.connections if each.is_late(now)]:
            upstream.refuse(f"a head that did not end within {HEAD_SECONDS:g} s")

    def active(self) -> set[str]:
        """URLs of workers that have a request."""
        return {each.url for each in self.connections if each.is_active}

    def silent(self, seconds: float) -> set[str]:
        """URLs of workers that have sent nothing for so long in the middle of a request."""
        return {each.url for each in self._silent(seconds)}

    def note_life(self, url: str) -> None:
        """The worker has responded to a probe."""
        for upstream in self._of(url):
            upstream.said = self.clock.now

    def give_up(self, url: str, probed: float, reason: str) -> None:
        """Give up all that a worker has which has responded to no probe since `probed`."""
        own = self._of(url)
        said = max((each.said for each in own), default=0.0)
        for upstream in own:
            if upstream.is_active:
                upstream.give_up(reason, suspect=upstream.may_have_silenced(said, probed))

    def lose(self, url: str, reason: str) -> None:
        """Nobody listens there any more: what the worker had is lost, as if its connections had been closed."""
        for upstream in self._of(url):
            upstream.fail(reason)

    def _of(self, url: str) -> list[Upstream]:
        return [each for each in self.connections if each.url == url]

    def _silent(self, seconds: float) -> list[Upstream]:
        now = self.clock.now
        return [each for each in self.connections if each.is_active and now - each.heard > seconds]

    def close(self) -> None:
        for upstream in list(self.connections):
            upstream.abort()


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _notice_death(sock: socket.socket) -> None:
    """Notice within half a minute that the other machine is gone, also while waiting for its response."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
