"""A copy of all objects of one kind in a namespace: listed, then watched, and listed again on any doubt.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Generic, NoReturn, TypeVar

from fastchat._kube import request, response
from fastchat._kube.aio import AsyncClient
from fastchat._kube.errors import ApiError, CredentialsError, RelistNeeded
from fastchat._kube.kind import Object
from fastchat._kube.watch import Backoff, Lines, Mirror, Selection

logger = logging.getLogger(__name__)

WATCH_SECONDS = (30, 35)
"""How long a watch lasts, at least and at most; jitter keeps many programs from asking all at once."""
OVERDUE_SECONDS = 5.0
"""A watch that has been silent for this much longer than it was to last is dead."""
LIST_SECONDS = 300.0
"""A listing is this old at most, a watch longer."""
LIST_SILENCE_SECONDS = 15.0
"""Longest wait between two parts of a listing."""

T = TypeVar("T")


class Reflector(Generic[T]):
    """The objects of one kind as the API server last told them.

    Each connection is made anew: whatever has gone stale, a token, the authority's certificate, a pooled socket, goes
    with it.

    Attributes:
        listed: they have all been told at least once.
        connected: they are being followed.
        heard: time of the API server's last word, of the monotonic clock.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[AsyncClient]],
        selection: Selection,
        read: Callable[[Object], T | None],
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called after whatever may have changed something."""
        self._connect = connect
        self._selection = selection
        self._mirror = Mirror(read)
        self._changed = changed
        self._trouble = ""
        self.listed = False
        self.connected = False
        self.heard = time.monotonic()

    def __iter__(self) -> Iterator[T]:
        return iter(self._mirror)

    def get(self, name: str) -> T | None:
        return self._mirror.get(name)

    async def run(self) -> NoReturn:
        """Follow the API server for ever."""
        backoff = Backoff()
        while True:
            started = time.monotonic()
            try:
                async with self._connect() as client:
                    await self._follow(client)
                continue
            except (ApiError, CredentialsError, RelistNeeded) as error:
                self._lost(str(error))
            except Exception:
                logger.exception("following %s failed", self._selection)
                self.connected = False
            await asyncio.sleep(backoff.after(time.monotonic() - started))

    async def _follow(self, client: AsyncClient) -> None:
        """List, and watch until it is time to list again."""
        until = time.monotonic() + LIST_SECONDS * random.uniform(0.9, 1)  # noqa: S311  # jitter
        version = await self._list(client)
        while time.monotonic() < until:
            version = await self._watch(client, version)

    async def _list(self, client: AsyncClient) -> str:
        """Take in all there is; the version from which to watch."""
        chosen = self._selection
        wanted = request.listing(chosen.kind, chosen.namespace, chosen.selector)
        try:
            page = response.page(await client.send(wanted, silence=LIST_SILENCE_SECONDS))
        except ApiError as error:
            raise self._explained("list", error) from error
        self._mirror.replace(page.things)
        self._found()
        return page.version

    async def _watch(self, client: AsyncClient, version: str) -> str:
        """Take in what happens; the version from which to go on."""
        chosen = self._selection
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311  # jitter
        started = time.monotonic()
        wanted = request.watch(chosen.kind, chosen.namespace, chosen.selector, version, seconds)
        try:
            async with client.stream(wanted, seconds + OVERDUE_SECONDS) as pieces:
                lines = Lines()
                self.heard = time.monotonic()
                async for part in pieces:
                    self.heard = time.monotonic()
                    for line in lines.feed(part):
                        version = self._apply(line)
        except ApiError as error:
            raise self._explained("watch", error) from error
        if time.monotonic() - started < seconds - 1:  # not by its own time, but because something is amiss
            raise RelistNeeded("the watch ended too early")
        return version

    def _apply(self, line: bytes) -> str:
        event = response.event(line)
        self._mirror.apply(event)
        self._changed()
        return event.version

    def _found(self) -> None:
        if not self.connected:
            logger.info("following %s: %d there", self._selection, len(self._mirror))
        self._trouble = ""
        self.listed = self.connected = True
        self.heard = time.monotonic()
        self._changed()

    def _explained(self, verb: str, error: ApiError) -> Exception:
        """With what was refused and what to do, where it was refused."""
        if not error.status:
            return error
        advice = self._selection.advice.get(error.status)
        return RelistNeeded(f"cannot {verb} {self._selection}: {error.status} {error}{f'; {advice}' if advice else ''}")

    def _lost(self, trouble: str) -> None:
        """Say it once for as long as it stays the same."""
        if trouble != self._trouble:
            logger.warning("not following %s: %s; trying again", self._selection, trouble)
        self._trouble = trouble
        self.connected = False
