"""What a kind of object that runs pods can do and tell: all that the rest of the operator knows of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fastchat._kube.kind import Object


@dataclass(frozen=True)
class Pods:
    """What a workload is to run: so many pods from one template."""

    namespace: str
    name: str
    """Of the workload."""
    labels: Mapping[str, str]
    """By which its pods are found."""
    template: Mapping[str, Any]
    replicas: int
    surge: int
    """1: a new pod is ready before an old one goes; 0: an old one goes first."""


@dataclass(frozen=True)
class Progress:
    """What a workload says of its pods."""

    wanted: int = 0
    """Pods that its `spec` asks for."""
    current: int = 0
    updated: int = 0
    """Pods of the template that it has now."""
    ready: int = 0
    available: int = 0
    observed: bool = False
    """Whether its controller has seen what it was last asked for; until then all other fields are about the past."""
    replacing: bool = False
    """Whether its pods are being replaced: not all of the new ones have been ready yet."""
    stuck: bool = False
    """Whether replacing them takes too long, or was paused."""
    refused: str | None = None
    """Why no pod could be made, in the words of the quota, Pod Security Standard or webhook that refused it."""


NO_PODS = Progress()
"""What there is to say of a workload that does not exist."""


class Workload(Protocol):
    """One kind of object that runs pods."""

    def manifest(self, pods: Pods) -> dict[str, Any]:
        """The object to be applied, without owner and mark."""

    def selector(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels of those of its pods that serve requests and count as replicas."""

    def keep_pods(self, desired: Mapping[str, Any], there: Object) -> dict[str, Any]:
        """`desired`, with the pod template that is there."""

    def progress(self, there: Object) -> Progress:
        """What it says of its pods."""

    def retry(self, there: Object, now: float) -> Object | None:
        """A merge patch by which pods that were refused are tried again at once.

        None: nothing is to be written, because that was asked for lately, or because its controller does it by itself.
        `now`: seconds since 1970.
        """
