"""The Kubernetes API as a gateway reads it: the objects of a kind in one namespace, then what happens to them.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from fastchat_gateway.discovery.resources import Resource

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""Longest wait for the head of an answer, and between two parts of a listing."""
OVERDUE_SECONDS = 5.0
"""A watch that has been silent for this much longer than it was to last is dead."""

UNREACHABLE = (aiohttp.ClientError, OSError, ConfigException)
"""What is raised where there is no API server to talk to."""

_ADVICE = {
    401: "the gateway's credentials are not accepted",
    403: "the Role of the gateway's ServiceAccount must allow get, list and watch",
    404: "its CRD is not installed: it comes with FastChat's Helm chart",
}


_T = TypeVar("_T")


class Doubt(Exception):  # noqa: N818  # a state, not always a fault
    """What was read before may no longer be so: list again. The message says why."""


@dataclass(frozen=True, slots=True)
class Item:
    """An object as the API server tells of it."""

    name: str
    version: str
    """Never the same for two states of one object, nor for an object that was made anew under its name."""
    raw: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Event:
    """ADDED, MODIFIED or DELETED: the object as it is now, or last was. BOOKMARK: only the version counts."""

    type: str
    item: Item


class ApiServer:
    """The API server, asked about one namespace.

    Each connection is made anew from the pod's own credentials or a kubeconfig: whatever has gone stale, a token, the
    authority's certificate, a pooled socket, goes with it.
    """

    def __init__(self, namespace: str, kubeconfig: str | None) -> None:
        self._namespace = namespace
        self._kubeconfig = kubeconfig

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["Connection"]:
        """A connection. Raises one of UNREACHABLE, here and in what is done with it."""
        configuration = Configuration()
        configuration.disable_strict_ssl_verification = True  # authorities of older clusters; kubectl takes them, too
        await self._configure(configuration)
        async with ApiClient(configuration) as client:
            client.user_agent = "fastchat-gateway"
            yield Connection(client, self._namespace)

    async def _configure(self, configuration: Configuration) -> None:
        if self._kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(configuration)
        else:
            await load_kube_config(self._kubeconfig, client_configuration=configuration, persist_config=False)


class Connection:
    """What one set of credentials lets us read."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def list_all(self, resource: Resource) -> tuple[str, list[Item]]:
        """The version from which to watch, and the objects; raises Doubt where the API server refuses."""
        response = await self._get("list", resource, {}, ANSWER_SECONDS)
        listing = _decode(await response.read(), _Listing)
        return listing.metadata.resource_version, [_item(raw) for raw in listing.items]

    @asynccontextmanager
    async def watch(self, resource: Resource, version: str, seconds: int) -> AsyncIterator[AsyncIterator[list[Event]]]:
        """What happens after this version, for so many seconds, in the pieces in which it arrives.

        Raises Doubt where the API server refuses, or says what makes no sense.
        """
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "1", "timeoutSeconds": str(seconds)}
        response = await self._get("watch", resource, query, seconds + OVERDUE_SECONDS)
        try:
            yield _events(response.content)
        finally:
            response.close()

    async def _get(
        self, verb: str, resource: Resource, query: Mapping[str, str], silence: float
    ) -> aiohttp.ClientResponse:
        prepared = await self._client.param_serialize(
            "GET",
            resource.path(self._namespace),
            query_params=[*query.items(), ("labelSelector", resource.selector)],
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        method, url, headers, *_ = prepared
        timeout = aiohttp.ClientTimeout(connect=CONNECT_SECONDS, sock_read=silence)
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await self._client.call_api(method, url, headers, _request_timeout=timeout)
            if answer.status != 200:
                raise Doubt(_refusal(verb, resource, answer.status, await answer.read()))
        response: aiohttp.ClientResponse = answer.response
        return response


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str
    name: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata


class _Listing(msgspec.Struct):
    metadata: _Metadata
    items: list[msgspec.Raw]


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    message: str


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[list[Event]]:
    rest = b""
    while part := await content.readany():
        *lines, rest = (rest + part).split(b"\n")
        yield [_event(line) for line in lines]


def _event(line: bytes) -> Event:
    event = _decode(line, _Event)
    if event.type == "ERROR":
        raise Doubt(f"the watch ended: {_decode(event.object, _Status).message}")
    return Event(event.type, _item(event.object))


def _item(raw: msgspec.Raw) -> Item:
    metadata = _decode(raw, _Object).metadata
    return Item(metadata.name, metadata.resource_version, raw)


def _decode(raw: bytes | msgspec.Raw, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except ValueError as error:
        raise Doubt(f"the API server said what makes no sense: {error}") from error


def _refusal(verb: str, resource: Resource, status: int, body: bytes) -> str:
    try:
        message = msgspec.json.decode(body, type=_Status).message
    except ValueError:
        message = body.decode(errors="replace").strip()[:500]
    advice = f"; {_ADVICE[status]}" if status in _ADVICE else ""
    return f"cannot {verb} {resource}: {status} {message}{advice}"
