"""Listens to gateway pods: one connection to each, over which it says what it has to do whenever that changes."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiohttp

from fastchat_operator import demand
from fastchat_operator.demand import Demand
from fastchat_operator.gateway import PORT
from fastchat_operator.kind import Object

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 2
_SILENCE_SECONDS = 6
"""A gateway that has so long not said a word, which it does every two seconds, is not known any more."""
_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 1.0
_LONGEST_LINE_BYTES = 8 * 2**20

Address = tuple[str, str, str]
"""A pod as far as it is the same: namespace, UID, IP."""


class Listener:
    """One gateway pod."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: Callable[[], str | None]) -> None:
        self._session = session
        self._url = url
        self._token = token
        self._delay = _FIRST_DELAY_SECONDS
        self.models: Mapping[str, Demand] | None = None
        """What it said last; None: it does not answer."""

    async def run(self, changed: Callable[[], None]) -> None:
        """Listen until cancelled; `changed` is called when it has said something new, and when it falls silent."""
        while True:
            try:
                await self._listen(changed)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                log.debug("%s: %s", self._url, error or type(error).__name__)
            except Exception:  # or what it said last would hold for ever
                log.exception("%s: the listener is at fault", self._url)
            if self.models is not None:
                self.models = None
                changed()
            await asyncio.sleep(self._delay)
            self._delay = min(self._delay * 2, _LONGEST_DELAY_SECONDS)

    async def _listen(self, changed: Callable[[], None]) -> None:
        token = self._token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        async with self._session.get(
            self._url, headers=headers, timeout=timeout, allow_redirects=False, raise_for_status=True
        ) as answer:
            async for line in answer.content:
                said = demand.read(line)
                self._delay = _FIRST_DELAY_SECONDS
                if said != self.models:
                    self.models = said
                    changed()


class Listeners:
    """Listeners to the gateway pods of some namespaces; an async context."""

    def __init__(self, token: Callable[[str], str | None], changed: Callable[[str], None]) -> None:
        """`token`: of a namespace; `changed`: there is news of a namespace."""
        self._token = token
        self._changed = changed
        self._all: dict[Address, Listener] = {}
        self._tasks: dict[Address, asyncio.Task[None]] = {}

    async def __aenter__(self) -> "Listeners":
        connector = aiohttp.TCPConnector(limit=0)  # of 100 connections, which is aiohttp's own, none would become free
        self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_LONGEST_LINE_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks.values())
        self.follow(())
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def follow(self, pods: Iterable[Object]) -> None:
        """Listen to these pods, where they run, and to no others."""
        wanted = {address: pod for pod in pods if (address := _address(pod))}
        for address in self._tasks.keys() - wanted.keys():
            self._tasks.pop(address).cancel()
            del self._all[address]
        for address in wanted.keys() - self._tasks.keys():
            self._listen(address)

    def demands(self, pods: Iterable[Object], model: str) -> Mapping[str, Demand | None]:
        """By name of each of these pods that may have requests: the model's demand there; None: it is not known."""
        found: dict[str, Demand | None] = {}
        for pod in pods:
            address = _address(pod)
            listener = self._all.get(address) if address else None
            if listener is not None and listener.models is not None:
                found[pod["metadata"]["name"]] = listener.models.get(model, Demand())
            elif _may_have_requests(pod):
                found[pod["metadata"]["name"]] = None
        return found

    def _listen(self, address: Address) -> None:
        namespace, _, ip = address
        host = f"[{ip}]" if ":" in ip else ip
        listener = Listener(self._session, f"http://{host}:{PORT}/demand", lambda: self._token(namespace))
        self._all[address] = listener
        self._tasks[address] = asyncio.create_task(listener.run(lambda: self._changed(namespace)))


def _address(pod: Object) -> Address | None:
    """Of a pod whose gateway runs."""
    ip = pod.get("status", {}).get("podIP")
    return (pod["metadata"]["namespace"], pod["metadata"]["uid"], ip) if ip and _runs(pod) else None


def _runs(pod: Object) -> bool:
    return "running" in _container(pod).get("state", {})


def _may_have_requests(pod: Object) -> bool:
    """Of a pod that does not answer: its gateway was ready at some time, and is not one that has ended by now."""
    return _runs(pod) and bool(_container(pod).get("started")) and not pod["metadata"].get("deletionTimestamp")


def _container(pod: Object) -> dict[str, Any]:
    containers: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses", [])
    return next((each for each in containers if each["name"] == "gateway"), {})
