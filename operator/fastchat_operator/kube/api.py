"""Calls to the Kubernetes API, by kind. Objects are plain dicts, as they are on the wire."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from fastchat_operator.kube.kind import Kind, Object, kind_of
from fastchat_operator.kube.throttle import Throttle

FIELD_MANAGER = "fastchat-operator"
MERGE = "application/merge-patch+json"
_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)
_PAGE = 500
_LONGEST_RETRY_AFTER_SECONDS = 120.0


class ApiError(Exception):
    """The API server refused, or could not be reached (status 0).

    Attributes:
        retry_after: seconds before which the same call is not to be made again.
    """

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def final(self) -> bool:
        """Whether the same call would be refused again."""
        return self.status in (400, 403, 404, 405, 413, 415, 422)

    @property
    def refusal(self) -> bool:
        """Whether it is about the object; 500 is what the API server says for an admission webhook that is down."""
        return self.final or self.status == 500


async def configure() -> Configuration:
    """How to reach the API server: as a pod, else by KUBECONFIG; raises kubernetes' ConfigException."""
    # As kopf: a proxy for the Internet is not meant, and aiohttp would look for one in a thread at every request.
    configuration = Configuration(client_session_kwargs={"trust_env": False})
    try:
        load_incluster_config(configuration)
    except ConfigException:
        await load_kube_config(client_configuration=configuration)
    return configuration


class Api:
    """The Kubernetes API; an async context. Where it asked not to be called for a while (429), it is not."""

    def __init__(self, configuration: Configuration) -> None:
        self._throttle = Throttle()
        self._client = ApiClient(configuration)
        self._client.user_agent = FIELD_MANAGER

    async def __aenter__(self) -> "Api":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def serves(self, kind: Kind) -> bool:
        """Whether there is such a kind, by discovery, which knows a new CRD later than the CRD's own path does."""
        groups = (await self.call("GET", "/apis"))["groups"]
        if kind.group not in (each["name"] for each in groups):
            return False
        try:
            resources = (await self.call("GET", f"/apis/{kind.api_version}"))["resources"]
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(each["name"] == kind.plural for each in resources)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        try:
            return await self.call("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: Kind, namespace: str | None, selector: str) -> AsyncIterator[Object]:
        """All objects of a kind, page by page; `selector` by label, empty: all."""
        query = {"limit": str(_PAGE), "labelSelector": selector}
        while True:
            page = await self.call("GET", kind.path(namespace), query)
            for item in page["items"]:
                yield {"apiVersion": kind.api_version, "kind": kind.name, **item}
            following = page["metadata"].get("continue")
            if not following:
                return
            query["continue"] = following

    async def apply(self, desired: Object, subresource: str | None = None) -> Object:
        """Server-side apply; the object as it is now."""
        meta = desired["metadata"]
        path = kind_of(desired).path(meta["namespace"], meta["name"], subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self.call("PATCH", path, query, desired, "application/apply-patch+yaml")

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object, or find that it is gone."""
        try:
            await self.call("DELETE", kind.path(namespace, name), {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != 404:
                raise

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """One call; raises ApiError with the API server's own words."""
        if wait := self._throttle.wait():
            raise ApiError(429, "the Kubernetes API has too much to do", wait)
        refused: float | None = None
        try:
            return await self._call(method, path, query, body, content_type)
        except ApiError as error:
            refused = error.retry_after if error.status == 429 else None
            raise
        finally:
            self._throttle.ended(refused)

    async def _call(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Object | None, content_type: str
    ) -> dict[str, Any]:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        prepared = await self._client.param_serialize(
            method, path, query_params=[*(query or {}).items()], header_params=headers, auth_settings=["BearerToken"]
        )
        try:
            answer = await self._client.call_api(*prepared[:3], body=body, _request_timeout=_TIMEOUT)
            text = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiError(0, f"the Kubernetes API was not reached: {error or type(error).__name__}") from error
        if answer.status >= 400:
            message = _reason(text) or f"{answer.status} {answer.reason}"
            raise ApiError(answer.status, message, _retry_after(answer.headers.get("Retry-After", "")))
        try:
            return json.loads(text)  # type: ignore[no-any-return]
        except RecursionError:
            raise ApiError(
                0, f"{method} {path}: what the Kubernetes API says is nested too deeply to be read"
            ) from None


def _reason(text: bytes) -> str:
    """The message of a Status object."""
    try:
        return str(json.loads(text).get("message", ""))
    except (ValueError, AttributeError):
        return text.decode(errors="replace")[:500]


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After, which the API server sends with 429 and 503; an hour is nobody's honest wish."""
    return min(float(text), _LONGEST_RETRY_AFTER_SECONDS) if text.isascii() and text.isdigit() else 0.0
