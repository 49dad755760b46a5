"""Pods that nobody asked to replace are replaced one workload after another, the next when the last is ready."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from fastchat_operator.key import Key
from fastchat_operator.kube.kind import Object
from fastchat_operator.plan import revision


class Turns:
    """Who waits for whom. Hold `lock` from the question whose turn it is until the answer is in the store."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._waiting: defaultdict[Key, set[Key]] = defaultdict(set)

    def wait(self, key: Key, until_ready: Key) -> None:
        self._waiting[until_ready].add(key)

    def next(self, key: Key, workload: Object | None) -> set[Key]:
        """Those who waited for this workload, if it is ready or gone."""
        return set() if workload and under_way(workload) else self._waiting.pop(key, set())


def needs_turn(desired: Object, there: Object | None) -> bool:
    """Whether applying it would replace pods without the ModelDeployment having asked for that."""
    planned, before = revision.recorded(desired), revision.recorded(there)
    if there is None or planned is None or not there["spec"].get("replicas", 1):
        return False
    return planned.unasked and planned.template != (before and before.template)


def in_the_way(key: Key, workloads: Iterable[tuple[Key, Object]]) -> Key | None:
    """Whose workload must be ready before this one's pods are replaced: models wait for models, gateways for gateways.

    One whose new pods do not become ready (its progress deadline is over, or it was paused) holds up its own namespace
    only: a tenant whose model cannot start must not keep the others' as they are.
    """
    for other, workload in workloads:
        same_kind = other != key and type(other) is type(key)
        made = revision.recorded(workload) if same_kind else None
        if made and made.unasked and under_way(workload) and (other.namespace == key.namespace or not stuck(workload)):
            return other
    return None


def with_pods_of(there: Object, desired: dict[str, Any]) -> dict[str, Any]:
    """What is asked for, replicas for example, but for the pods, which stay as they are there."""
    metadata, annotations = desired["metadata"], dict(desired["metadata"]["annotations"])
    annotations.pop(revision.ANNOTATION)
    if before := (there["metadata"].get("annotations") or {}).get(revision.ANNOTATION):
        annotations[revision.ANNOTATION] = before
    spec = desired["spec"] | {"template": there["spec"]["template"]}
    return desired | {"metadata": metadata | {"annotations": annotations}, "spec": spec}


def under_way(workload: Object) -> bool:
    """Whether its pods are being replaced: not all of the new ones have been ready yet."""
    if not workload["spec"].get("replicas", 1):
        return False
    seen = workload.get("status", {}).get("observedGeneration", 0) >= workload["metadata"]["generation"]
    return not (seen and _progressing(workload).get("reason") == "NewReplicaSetAvailable")


def stuck(workload: Object) -> bool:
    return bool(_progressing(workload).get("status", "True") != "True")


def _progressing(workload: Object) -> Object:
    """https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status"""
    conditions = workload.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Progressing"), {})
