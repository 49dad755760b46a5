"""ModelDeployments of a Kubernetes cluster: make, change, watch and delete them, and wait until they serve.

    from fastchat import deployments

    deployments.apply(deployments.manifest("vicuna", "hf://lmsys/vicuna-7b-v1.5", gpus=1))
    deployments.wait_ready("vicuna", progress=print)

Each of these calls blocks, is for the namespace and the cluster that kubectl would take, and connects anew.
`Deployments` and `AsyncDeployments` have them for a namespace or a cluster of one's choice, and keep their connection.
Everything raised is in `fastchat.errors`; a ModelDeployment is `fastchat.v1alpha1.deployment.ModelDeployment`.
"""

from collections.abc import Iterator

from fastchat.deployments.awaited import AsyncDeployments
from fastchat.deployments.blocking import Deployments
from fastchat.deployments.events import DeploymentEvent
from fastchat.deployments.objects import Given, manifest
from fastchat.deployments.readiness import PATIENCE_SECONDS, TIMEOUT_SECONDS, Callback
from fastchat.deployments.table import DeploymentList
from fastchat.v1alpha1.deployment import ModelDeployment

__all__ = [
    "AsyncDeployments",
    "DeploymentEvent",
    "DeploymentList",
    "Deployments",
    "ModelDeployment",
    "apply",
    "create",
    "delete",
    "get",
    "list",
    "manifest",
    "scale",
    "wait_ready",
    "watch",
]


def create(deployment: Given, *, namespace: str | None = None) -> ModelDeployment:
    """`Deployments.create`."""
    with Deployments(namespace) as there:
        return there.create(deployment)


def apply(deployment: Given, *, namespace: str | None = None, force: bool = False) -> ModelDeployment:
    """`Deployments.apply`."""
    with Deployments(namespace) as there:
        return there.apply(deployment, force=force)


def get(name: str, *, namespace: str | None = None) -> ModelDeployment:
    """`Deployments.get`."""
    with Deployments(namespace) as there:
        return there.get(name)


def list(*, namespace: str | None = None, all_namespaces: bool = False) -> DeploymentList:  # noqa: A001  # its name
    """`Deployments.list`."""
    with Deployments(namespace) as there:
        return there.list(all_namespaces=all_namespaces)


def watch(
    name: str | None = None, *, namespace: str | None = None, timeout: float | None = None
) -> Iterator[DeploymentEvent]:
    """`Deployments.watch`."""
    with Deployments(namespace) as there:
        yield from there.watch(name, timeout=timeout)


def scale(name: str, replicas: int, *, namespace: str | None = None) -> ModelDeployment:
    """`Deployments.scale`."""
    with Deployments(namespace) as there:
        return there.scale(name, replicas)


def delete(name: str, *, namespace: str | None = None) -> None:
    """`Deployments.delete`."""
    with Deployments(namespace) as there:
        there.delete(name)


def wait_ready(
    name: str,
    *,
    namespace: str | None = None,
    timeout: float = TIMEOUT_SECONDS,
    patience: float = PATIENCE_SECONDS,
    progress: Callback | None = None,
) -> ModelDeployment:
    """`Deployments.wait_ready`."""
    with Deployments(namespace) as there:
        return there.wait_ready(name, timeout=timeout, patience=patience, progress=progress)
