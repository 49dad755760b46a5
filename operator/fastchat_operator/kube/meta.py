"""What every object that the operator makes carries: labels, an owner, and a hash of what was planned."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastchat._kube.kind import Kind, Object
from fastchat.v1alpha1.deployment import GROUP, ModelDeployment
from fastchat.v1alpha1.names import COMPONENT_LABEL, GATEWAY, MANAGED_BY, MODEL_LABEL
from fastchat_operator.kube.kind import MODEL_DEPLOYMENT

HASH_ANNOTATION = f"{GROUP}/applied-hash"
"""A hash of the planned object. It also differs where a field was dropped from the plan, which is still there."""


def worker_labels(deployment: ModelDeployment) -> dict[str, str]:
    """Labels that select a ModelDeployment's workers."""
    return {MODEL_LABEL: deployment.metadata.name, COMPONENT_LABEL: "worker"}


def gateway_labels() -> dict[str, str]:
    """Labels that select a namespace's gateway."""
    return {"app.kubernetes.io/name": GATEWAY, COMPONENT_LABEL: "gateway"}


def make(kind: Kind, namespace: str, name: str, labels: Mapping[str, str], **content: Any) -> dict[str, Any]:
    """An object to be applied."""
    metadata = {"name": name, "namespace": namespace, "labels": {**MANAGED_BY, **labels}}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **content}


def owned(child: dict[str, Any], owner: ModelDeployment) -> dict[str, Any]:
    """The object with an owner: it goes when the owner goes, also while no operator runs."""
    reference = {
        "apiVersion": MODEL_DEPLOYMENT.api_version,
        "kind": MODEL_DEPLOYMENT.name,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return child | {"metadata": child["metadata"] | {"ownerReferences": [reference]}}


def owner_name(there: Object) -> str | None:
    """Name of the ModelDeployment that owns an object; None: it has none. Not the uid: it may have been made anew."""
    owners = there["metadata"].get("ownerReferences", [])
    return next((each["name"] for each in owners if each["kind"] == MODEL_DEPLOYMENT.name), None)


def marked(desired: dict[str, Any]) -> dict[str, Any]:
    """The object, with the hash of its content."""
    mark = hashlib.sha256(json.dumps(desired, sort_keys=True).encode()).hexdigest()[:16]
    annotations = desired["metadata"].get("annotations", {}) | {HASH_ANNOTATION: mark}
    return desired | {"metadata": desired["metadata"] | {"annotations": annotations}}


def is_ours(there: Object) -> bool:
    """Whether the operator made it, even if its labels or its annotation were taken off by hand."""
    metadata = there["metadata"]
    return (
        HASH_ANNOTATION in metadata.get("annotations", {}) or MANAGED_BY.items() <= metadata.get("labels", {}).items()
    )
