"""Deployments: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/"""

from collections.abc import Mapping
from typing import Any

from fastchat._kube.kind import Object
from fastchat.v1alpha1.deployment import GROUP
from fastchat_operator.kube.kind import DEPLOYMENT
from fastchat_operator.kube.meta import make
from fastchat_operator.plan.workloads.workload import Pods, Progress

RETRY_ANNOTATION = f"{GROUP}/asked-to-retry"
_PROGRESS_SECONDS = 600
"""How long the controller waits for new pods before it says that they make no progress."""
_RETRY_SECONDS = 50
"""Somewhat less than what lies between two passes over everything."""


class Deployments:
    """Pods that are all alike, each of which is a replica."""

    def manifest(self, pods: Pods) -> dict[str, Any]:
        spec = {
            "replicas": pods.replicas,
            "selector": {"matchLabels": pods.labels},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": pods.surge, "maxUnavailable": 1 - pods.surge},
            },
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": _PROGRESS_SECONDS,
            "template": pods.template,
        }
        return make(DEPLOYMENT, pods.namespace, pods.name, pods.labels, spec=spec)

    def selector(self, labels: Mapping[str, str]) -> dict[str, str]:
        return dict(labels)

    def keep_pods(self, desired: Mapping[str, Any], there: Object) -> dict[str, Any]:
        return {**desired, "spec": desired["spec"] | {"template": there["spec"]["template"]}}

    def progress(self, there: Object) -> Progress:
        metadata, status = there["metadata"], there.get("status", {})
        wanted: int = there["spec"].get("replicas", 1)
        observed = status.get("observedGeneration", 0) >= metadata.get("generation", 1)
        progressing, refused = _condition(status, "Progressing"), _condition(status, "ReplicaFailure")
        done = observed and progressing.get("reason") == "NewReplicaSetAvailable"
        return Progress(
            wanted=wanted,
            current=status.get("replicas", 0),
            updated=status.get("updatedReplicas", 0),
            ready=status.get("readyReplicas", 0),
            available=status.get("availableReplicas", 0),
            observed=observed,
            replacing=bool(wanted) and not done,
            stuck=progressing.get("status", "True") != "True",
            refused=refused.get("message", "") if refused.get("status") == "True" else None,
        )

    def retry(self, there: Object, now: float) -> Object | None:
        """Its ReplicaSet's controller would wait for up to 17 minutes before it tries again.

        What is written on a Deployment is copied to its ReplicaSet, which wakes that controller; no pod is changed.
        """
        metadata = there["metadata"]
        asked = metadata.get("annotations", {}).get(RETRY_ANNOTATION, "")
        if asked.isascii() and asked.isdigit() and 0 <= int(now) - int(asked) < _RETRY_SECONDS:
            return None
        return {"metadata": {"uid": metadata["uid"], "annotations": {RETRY_ANNOTATION: str(int(now))}}}


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})
