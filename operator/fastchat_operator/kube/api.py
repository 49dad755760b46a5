"""The Kubernetes API as the operator uses it. Objects are plain dicts, as they are on the wire."""

from collections.abc import AsyncIterator
from typing import Any, Self

from fastchat._kube import request, response
from fastchat._kube.access import Access
from fastchat._kube.aio import AsyncClient
from fastchat._kube.errors import ApiError, CredentialsError, UnreachableError
from fastchat._kube.kind import Kind, Object
from fastchat._kube.request import Request
from fastchat_operator.kube.kind import kind_of
from fastchat_operator.kube.throttle import Throttle

FIELD_MANAGER = "fastchat-operator"
_PAGE = 500


class Api:
    """The Kubernetes API; an async context. Where it asked not to be called for a while (429), it is not."""

    def __init__(self, access: Access) -> None:
        self._throttle = Throttle()
        self._client = AsyncClient(access, FIELD_MANAGER)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__()

    async def serves(self, kind: Kind) -> bool:
        """Whether there is such a kind, by discovery, which knows a new CRD later than the CRD's own path does."""
        groups = (await self.send(Request("GET", "/apis")))["groups"]
        if kind.group not in (each["name"] for each in groups):
            return False
        try:
            resources = (await self.send(Request("GET", f"/apis/{kind.api_version}")))["resources"]
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(each["name"] == kind.plural for each in resources)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object, None: there is none. Raises ApiError."""
        try:
            return await self.send(request.get(kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: Kind, namespace: str | None, selector: str) -> AsyncIterator[Object]:
        """All objects of a kind, page by page; `selector` by label, empty: all. Raises ApiError."""
        following = ""
        while True:
            wanted = request.listing(kind, namespace, selector, limit=_PAGE, following=following)
            page = response.page(await self.send(wanted))
            for thing in page.things:
                yield {"apiVersion": kind.api_version, "kind": kind.name, **thing}
            following = page.following
            if not following:
                return

    async def apply(self, desired: Object, subresource: str | None = None) -> Object:
        """Server-side apply; the object as it is now. Raises ApiError."""
        return await self.send(request.apply(kind_of(desired), desired, FIELD_MANAGER, subresource))

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object, or find that it is gone. Raises ApiError."""
        try:
            await self.send(request.delete(kind, namespace, name))
        except ApiError as error:
            if error.status != 404:
                raise

    async def send(self, wanted: Request) -> dict[str, Any]:
        """What the API server says; raises ApiError with its own words, status 0 also where credentials are missing."""
        if wait := self._throttle.wait():
            raise ApiError(429, "the Kubernetes API has too much to do", wait)
        refused: float | None = None
        try:
            return await self._client.send(wanted)
        except ApiError as error:
            refused = error.retry_after if error.status == 429 else None
            raise
        except CredentialsError as error:
            raise UnreachableError(str(error)) from error
        finally:
            self._throttle.ended(refused)
