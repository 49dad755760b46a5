"""ModelDeployments and what a cluster says of them, as values."""

from collections.abc import Callable
from typing import Any

import pytest

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import GATEWAY, MANAGED_BY, worker_name

Make = Callable[..., Any]


def made(name: str = "vicuna", created: str = "2026-11-23T04:00:00Z", uid: str = "", **spec: Any) -> dict[str, Any]:
    """A ModelDeployment as the API server has it; `spec` over a model from the hub."""
    metadata = {"name": name, "namespace": "team", "uid": uid or f"uid-{name}", "generation": 1}
    return {
        "apiVersion": "fastchat.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": metadata | {"resourceVersion": "1", "creationTimestamp": created},
        "spec": {"replicas": 1, **spec, "model": {"source": "hf://org/name"} | spec.get("model", {})},
    }


@pytest.fixture
def resource() -> Make:
    """Makes a ModelDeployment as the API server has it."""
    return made


@pytest.fixture
def model() -> Make:
    """Makes a ModelDeployment."""
    return lambda *args, **spec: ModelDeployment.parse(made(*args, **spec))


@pytest.fixture
def pod() -> Make:
    """Makes a worker's pod; `status` as the kubelet and the scheduler write it."""

    def make(name: str = "pod", of: str = "vicuna", born: str = "2026-11-23T05:00:00Z", **status: Any) -> Any:
        labels = MANAGED_BY | {"app.kubernetes.io/component": "worker", "fastchat.io/model-deployment": of}
        metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "resourceVersion": "1", "labels": labels}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata | {"creationTimestamp": born},
            "spec": {"nodeName": "node-1"},
            "status": status,
        }

    return make


@pytest.fixture
def workload() -> Make:
    """Makes the Deployment of a ModelDeployment's workers, or without one of the gateway."""

    def make(of: str = "", version: int = 1, **status: Any) -> Any:
        component = {"app.kubernetes.io/component": "worker" if of else "gateway"}
        labels = MANAGED_BY | component | ({"fastchat.io/model-deployment": of} if of else {})
        name = worker_name(of) if of else GATEWAY
        metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "labels": labels, "generation": 1}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata | {"resourceVersion": str(version)},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 1, **status},
        }

    return make
