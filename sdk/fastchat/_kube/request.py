"""Requests to the Kubernetes API, as values.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from fastchat._kube.kind import Kind, Object

_JSON = "application/json"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
"""JSON is YAML."""


@dataclass(frozen=True)
class Request:
    """One request; where the API server is, and what it knows us by, is a driver's matter."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Object | None = None
    content_type: str = _JSON

    @property
    def target(self) -> str:
        """Path and query, escaped."""
        path = quote(self.path, safe="/:")
        return f"{path}?{urlencode(self.query)}" if self.query else path

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept": _JSON} if self.body is None else {"Accept": _JSON, "Content-Type": self.content_type}

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()


def get(kind: Kind, namespace: str | None, name: str) -> Request:
    return Request("GET", kind.path(namespace, name))


def listing(
    kind: Kind,
    namespace: str | None,
    selector: str = "",
    *,
    fields: str = "",
    limit: int | None = None,
    following: str = "",
) -> Request:
    """All objects of a kind, or so many of them; `following`: the page after the one that said so.

    `selector` is by label, `fields` by field, such as `metadata.name=NAME`.
    """
    query = {"labelSelector": selector, "fieldSelector": fields}
    query |= {"limit": "" if limit is None else str(limit), "continue": following}
    return Request("GET", kind.path(namespace), _without_empty(query))


def watch(kind: Kind, namespace: str | None, selector: str, version: str, seconds: int, *, fields: str = "") -> Request:
    """What happens after this version of the listing, for so many seconds, with bookmarks."""
    query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "1", "timeoutSeconds": str(seconds)}
    chosen = {"labelSelector": selector, "fieldSelector": fields}
    return Request("GET", kind.path(namespace), _without_empty(query | chosen))


def apply(kind: Kind, desired: Object, manager: str, subresource: str | None = None, *, force: bool = True) -> Request:
    """Server-side apply; `force` takes over what another field manager has set, else that is refused with 409."""
    query = {"fieldManager": manager} | ({"force": "true"} if force else {})
    return Request("PATCH", _path(kind, desired, subresource), query, desired, _APPLY)


def merge(path: str, patch: Object, manager: str = "") -> Request:
    """A merge patch (RFC 7386) of what is at this path."""
    return Request("PATCH", path, _without_empty({"fieldManager": manager}), patch, _MERGE)


def create(kind: Kind, new: Object, manager: str = "") -> Request:
    """Refused with 409 where there is one of that name."""
    return Request("POST", kind.path(new["metadata"].get("namespace")), _without_empty({"fieldManager": manager}), new)


def replace(kind: Kind, desired: Object, manager: str = "") -> Request:
    """Refused with 409 where `desired` has a resourceVersion that is no longer the object's."""
    return Request("PUT", _path(kind, desired), _without_empty({"fieldManager": manager}), desired)


def delete(kind: Kind, namespace: str | None, name: str) -> Request:
    """What the object owns is deleted afterwards."""
    return Request("DELETE", kind.path(namespace, name), {"propagationPolicy": "Background"})


def log(
    namespace: str, pod: str, container: str, *, follow: bool = False, tail: int | None = None, previous: bool = False
) -> Request:
    """What a container has written, as text: all, or the last `tail` lines; `previous`: the one before it restarted.

    What is followed has the time before each line.
    """
    query = {"container": container, "tailLines": "" if tail is None else str(tail)}
    chosen = (("follow", follow), ("timestamps", follow), ("previous", previous))
    query |= {name: "true" for name, wanted in chosen if wanted}
    path = Kind("v1", "Pod", "pods").path(namespace, pod, "log")
    return Request("GET", path, _without_empty(query))


def _path(kind: Kind, thing: Object, subresource: str | None = None) -> str:
    meta = thing["metadata"]
    return kind.path(meta.get("namespace"), meta["name"], subresource)


def _without_empty(query: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if value}
