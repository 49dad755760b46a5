"""Listens to gateway pods: one connection to each, over which it says what it has to do whenever that changes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import aiohttp

from fastchat import demand
from fastchat._kube.kind import Object
from fastchat.demand import Demand, Demands
from fastchat_operator.plan.gateway import PORT

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 2
_SILENCE_SECONDS = 6
"""A gateway writes at least every two seconds. After so long without a byte its demand is not known any more."""
_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 1.0
_LONGEST_PENALTY_SECONDS = 60.0
"""Delay after a response that no gateway of ours sends: compressed, too long, or not the JSON expected."""
_STEADY_SECONDS = 10.0
"""After a connection that lasted so long, delays begin with the shortest again."""
_PACE_SECONDS = 0.05
"""Time between two reads. Of lines that came meanwhile only the last one is parsed: each has the whole demand."""
_BUFFER_BYTES = 8 * 2**10
_HEADERS = {"Accept-Encoding": "identity"}

Address = tuple[str, str, str]
"""A pod as far as it is the same: namespace, UID, IP."""


class Listener:
    """One gateway pod."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: Callable[[], str | None]) -> None:
        self._session = session
        self._url = url
        self._token = token
        self.models: Demands | None = None
        """Demand by model as it said last; None: it is not known."""

    async def run(self, changed: Callable[[], None]) -> None:
        """Listen until cancelled; `changed` is called when it has said something new, and when it falls silent."""
        failures = 0
        while True:
            began, longest = time.monotonic(), _LONGEST_DELAY_SECONDS
            try:
                await self._listen(changed)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                logger.debug("%s: %s", self._url, error or type(error).__name__)
            except ValueError as error:
                logger.warning("%s is not listened to for a while: %s", self._url, error)
                longest = _LONGEST_PENALTY_SECONDS
            except Exception:  # or what it said last would hold for ever
                logger.exception("%s: the listener is at fault", self._url)
            if self.models is not None:
                self.models = None
                changed()
            failures = 1 if time.monotonic() - began > _STEADY_SECONDS else failures + 1
            await asyncio.sleep(min(longest, _FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 10)))

    async def _listen(self, changed: Callable[[], None]) -> None:
        token = self._token()
        headers = _HEADERS | ({"Authorization": f"Bearer {token}"} if token else {})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        async with self._session.get(self._url, headers=headers, timeout=timeout, allow_redirects=False) as response:
            _must_be_plain(response)
            async for line in _last_lines(response.content):
                said = demand.decode(line)
                if said != self.models:
                    self.models = said
                    changed()


def _must_be_plain(response: aiohttp.ClientResponse) -> None:
    """Raises ClientError for an error that a gateway may have, ValueError for a response that no gateway sends."""
    response.raise_for_status()
    encoding = response.headers.get("Content-Encoding", "identity")
    if response.status != 200 or encoding != "identity":
        raise ValueError(f"it responds with status {response.status}, content-encoding {encoding[:40]!r}")


async def _last_lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The last complete line of what has come since the read before.

    Raises:
        ValueError: A line is too long.
        TimeoutError: A line takes too long to come.
    """
    rest, due = b"", time.monotonic() + _SILENCE_SECONDS
    while True:
        async with asyncio.timeout(due - time.monotonic()):
            part = await content.readany()
        if not part:
            return
        *lines, rest = (rest + part).split(b"\n")
        for line in (*lines, rest):
            demand.check_length(line)
        if lines:
            yield lines[-1]
            due = time.monotonic() + _SILENCE_SECONDS
        await asyncio.sleep(_PACE_SECONDS)


class Listeners:
    """Listeners to the gateway pods of some namespaces; an async context."""

    def __init__(self, token: Callable[[str], str | None], changed: Callable[[str], None]) -> None:
        """`token` of a namespace, `changed` is called with a namespace whose demand has changed."""
        self._token = token
        self._changed = changed
        self._all: dict[Address, Listener] = {}
        self._tasks: dict[Address, asyncio.Task[None]] = {}

    async def __aenter__(self) -> "Listeners":
        connector = aiohttp.TCPConnector(limit=0)  # of 100 connections, which is aiohttp's own, none would become free
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, read_bufsize=_BUFFER_BYTES, cookie_jar=aiohttp.DummyCookieJar()
        )
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

    def heard(self, pods: Iterable[Object]) -> Mapping[str, Demands]:
        """By name of each of these pods that says it: the demand for all models."""
        found = {pod["metadata"]["name"]: self._all.get(address) for pod in pods if (address := _address(pod))}
        return {name: each.models for name, each in found.items() if each is not None and each.models is not None}

    def _listen(self, address: Address) -> None:
        namespace, _, ip = address
        host = f"[{ip}]" if ":" in ip else ip
        listener = Listener(self._session, f"http://{host}:{PORT}{demand.PATH}", lambda: self._token(namespace))
        self._all[address] = listener
        self._tasks[address] = asyncio.create_task(listener.run(lambda: self._changed(namespace)))


def _address(pod: Object) -> Address | None:
    """Of a pod whose gateway runs."""
    ip = pod.get("status", {}).get("podIP")
    return (pod["metadata"]["namespace"], pod["metadata"]["uid"], ip) if ip and _runs(pod) else None


def _runs(pod: Object) -> bool:
    return "running" in _container(pod).get("state", {})


def _may_have_requests(pod: Object) -> bool:
    """Whether a pod that is not heard may have requests: its gateway was ready at some time and still runs."""
    return _runs(pod) and bool(_container(pod).get("started")) and not pod["metadata"].get("deletionTimestamp")


def _container(pod: Object) -> dict[str, Any]:
    containers: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses", [])
    return next((each for each in containers if each["name"] == "gateway"), {})
