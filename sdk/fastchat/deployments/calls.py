"""Requests about ModelDeployments and what is read of their responses; nothing here sends or waits."""

import math
import time
from collections.abc import Iterator
from typing import Any

from fastchat._kube import request, response
from fastchat._kube.errors import RelistNeeded
from fastchat._kube.request import Request
from fastchat.deployments.events import DeploymentEvent, Follower
from fastchat.deployments.objects import KIND, deployment_of
from fastchat.deployments.table import DeploymentList
from fastchat.errors import DeploymentInvalidError, KubernetesError

MANAGER = "fastchat"
"""Field manager of what users apply."""
_WATCH_SECONDS = 30
_OVERDUE_SECONDS = 5.0
_GONE = 410
"""The version from which to watch is too old."""


def creation(body: dict[str, Any]) -> Request:
    return request.create(KIND, body, MANAGER)


def rescaling(namespace: str, name: str, replicas: int) -> Request:
    """Raises DeploymentInvalidError for what is no number of workers."""
    if isinstance(replicas, bool) or not isinstance(replicas, int) or not 0 <= replicas <= 1000:
        raise DeploymentInvalidError(f"replicas={replicas!r}: it is a number of workers from 0 to 1000")
    return request.merge(KIND.path(namespace, name, "scale"), {"spec": {"replicas": replicas}}, MANAGER)


def several(listing: dict[str, Any]) -> DeploymentList:
    """The ModelDeployments of a listing, by namespace and name; raises KubernetesError where it is none."""
    try:
        things = response.page(listing).things
    except RelistNeeded as error:
        raise KubernetesError(str(error)) from error
    found = [deployment_of(thing) for thing in things]
    return DeploymentList(sorted(found, key=lambda each: (each.metadata.namespace or "", each.metadata.name)))


class Watch:
    """One watch of all ModelDeployments of a namespace, or of one: what to ask for next, and what is heard."""

    def __init__(self, namespace: str, name: str | None, timeout: float | None) -> None:
        self._namespace = namespace
        self._fields = f"metadata.name={name}" if name else ""
        self._until = math.inf if timeout is None else time.monotonic() + timeout
        self._follower = Follower()
        self._listed = False
        self._seconds = _WATCH_SECONDS

    @property
    def left(self) -> float:
        """Seconds."""
        return max(self._until - time.monotonic(), 0.0)

    @property
    def over(self) -> bool:
        return self._listed and not self.left

    @property
    def must_list(self) -> bool:
        return not self._follower.version

    @property
    def listing(self) -> Request:
        return request.listing(KIND, self._namespace, fields=self._fields)

    def listed(self, said: dict[str, Any]) -> Iterator[DeploymentEvent]:
        """Raises RelistNeeded where it is no listing."""
        yield from self._follower.listed(response.page(said))
        self._listed = True

    def next_request(self) -> tuple[Request, float]:
        """What to watch with, and after how many seconds of silence it is dead."""
        seconds = max(1, min(_WATCH_SECONDS, math.ceil(self.left) if math.isfinite(self.left) else _WATCH_SECONDS))
        version = self._follower.version
        return request.watch(KIND, self._namespace, "", version, seconds, fields=self._fields), (
            seconds + _OVERDUE_SECONDS
        )

    def heard(self, piece: bytes) -> Iterator[DeploymentEvent]:
        """Raises RelistNeeded where it makes no sense, or ends the watch."""
        return self._follower.heard(piece)

    def failed(self, error: KubernetesError | RelistNeeded) -> None:
        """Returns where another try may help; raises the error where it will not, or where it is the first try."""
        if isinstance(error, RelistNeeded) or error.status_code == _GONE:
            self._follower.doubt()
        elif not self._listed or not may_pass(error):
            raise error


def may_pass(error: KubernetesError) -> bool:
    """Whether it is the API server that has trouble, and not what was asked of it."""
    return error.status_code in (0, 429) or error.status_code >= 500
