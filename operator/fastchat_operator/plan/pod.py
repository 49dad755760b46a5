"""What pods of workers and gateways have in common: they pass the Pod Security Standard `restricted`."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastchat.v1alpha1.primitives import Part, Toleration
from fastchat_operator.settings import Images

TMP = "/tmp"  # noqa: S108  # of the container


def pod_security(user: int | None) -> dict[str, Any]:
    """Security context of a pod; without a user, its image names one that is not root."""
    who = {} if user is None else {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    policy = {"fsGroupChangePolicy": "OnRootMismatch"} if who else {}
    return {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **who, **policy}


def container_security(*, read_only: bool) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": read_only,
        "capabilities": {"drop": ["ALL"]},
    }


def leave(seconds: int) -> dict[str, Any]:
    """Wait before SIGTERM until those who send requests have heard that the pod goes."""
    return {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}} if seconds else {}


def pull(images: Images) -> dict[str, Any]:
    return given(imagePullSecrets=[{"name": name} for name in images.pull_secrets])


def variables(env: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in env.items()]


def tolerated(tolerations: Iterable[Toleration]) -> list[dict[str, Any]]:
    return [dump(toleration) for toleration in tolerations]


def dump(part: Part) -> dict[str, Any]:
    """A part of the resource as it is on the wire, defaults left out."""
    return part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that say something: an empty one would be dropped by the API server and look like drift."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [], "")}
