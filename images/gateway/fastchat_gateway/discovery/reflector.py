"""A copy of all objects of one kind: listed, then watched, and listed again on any doubt."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Generic, NoReturn, TypeVar

import msgspec

from fastchat_gateway.discovery.api_server import UNREACHABLE, ApiServer, Connection, Doubt, Event, Item
from fastchat_gateway.discovery.resources import Resource, Unreadable

logger = logging.getLogger(__name__)

WATCH_SECONDS = (30, 35)
"""How long a watch lasts, at least and at most; jitter keeps gateways from asking all at once."""
LIST_SECONDS = 300.0
"""A listing is this old at most, a watch longer."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
STEADY_SECONDS = 10.0
"""What has held this long was no failure of the same kind as the next."""

T = TypeVar("T")


class Reflector(Generic[T]):
    """The objects of one kind as the API server last told them.

    Attributes:
        listed: they have all been told at least once.
        connected: they are being followed.
        heard: time of the API server's last word, of the monotonic clock.
    """

    def __init__(
        self, api: ApiServer, resource: Resource, read: Callable[[msgspec.Raw], T], changed: Callable[[], None]
    ) -> None:
        self._api = api
        self._resource = resource
        self._read = read
        self._changed = changed
        self._objects: dict[str, tuple[str, T | None]] = {}
        self._trouble = ""
        self.listed = False
        self.connected = False
        self.heard = time.monotonic()

    def __iter__(self) -> Iterator[T]:
        return (thing for _, thing in self._objects.values() if thing is not None)

    def get(self, name: str) -> T | None:
        return self._objects.get(name, ("", None))[1]

    async def run(self) -> NoReturn:
        """Follow the API server for ever."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            try:
                async with self._api.connect() as connection:
                    await self._follow(connection)
                continue
            except (Doubt, *UNREACHABLE) as error:
                self._lost(error)
            except Exception:
                logger.exception("following %s failed", self._resource)
                self.connected = False
            steady = time.monotonic() - started > STEADY_SECONDS
            pause = FIRST_PAUSE_SECONDS if steady else min(2 * pause, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # jitter

    async def _follow(self, connection: Connection) -> None:
        """List, and watch until it is time to list again."""
        until = time.monotonic() + LIST_SECONDS * random.uniform(0.9, 1)  # noqa: S311  # jitter
        version, items = await connection.list_all(self._resource)
        self._objects = {item.name: self._entry(item) for item in items}
        self._found()
        while time.monotonic() < until:
            version = await self._watch(connection, version)

    async def _watch(self, connection: Connection, version: str) -> str:
        """Take in what happens; the version from which to go on."""
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311  # jitter
        started = time.monotonic()
        async with connection.watch(self._resource, version, seconds) as pieces:
            self.heard = time.monotonic()
            async for events in pieces:
                self.heard = time.monotonic()
                for event in events:
                    self._apply(event)
                    version = event.item.version
        if time.monotonic() - started < seconds - 1:  # not by its own time, but because something is amiss
            raise Doubt("the watch ended too early")
        return version

    def _apply(self, event: Event) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self._objects[event.item.name] = self._entry(event.item)
        elif event.type == "DELETED":
            self._objects.pop(event.item.name, None)
        elif event.type != "BOOKMARK":
            raise Doubt(f"the watch told of an unknown event {event.type!r}")
        self._changed()

    def _entry(self, item: Item) -> tuple[str, T | None]:
        """An object with its version; None where it cannot be read. What is known already is not read again."""
        known = self._objects.get(item.name)
        if known is not None and known[0] == item.version:
            return known
        try:
            return item.version, self._read(item.raw)
        except Unreadable as error:
            logger.warning("%s %s is left out: it cannot be read: %s", self._resource, item.name, error)
            return item.version, None

    def _found(self) -> None:
        if not self.connected:
            logger.info("following %s: %d there", self._resource, len(self._objects))
        self._trouble = ""
        self.listed = self.connected = True
        self.heard = time.monotonic()
        self._changed()

    def _lost(self, error: Exception) -> None:
        """Say it once for as long as it stays the same."""
        reason = getattr(error, "os_error", None) or error  # aiohttp's own text has an address in memory in it
        trouble = str(reason) or type(error).__name__
        if trouble != self._trouble:
            logger.warning("not following %s: %s; trying again", self._resource, trouble)
        self._trouble = trouble
        self.connected = False
