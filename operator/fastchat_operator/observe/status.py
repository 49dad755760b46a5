"""From what is observed to the status of a ModelDeployment."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from fastchat.v1alpha1.deployment import Condition, ModelDeployment, Status
from fastchat.v1alpha1.names import gateway_url
from fastchat_operator.kube.kind import Object
from fastchat_operator.kube.meta import worker_labels
from fastchat_operator.observe.cause import Cause, root_cause

_LONGEST_MESSAGE = 32768

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Observed:
    """One ModelDeployment and all that its status depends on."""

    deployment: ModelDeployment
    workers: Object | None = None
    """The Deployment of its workers."""
    pods: Sequence[Object] = ()
    gateway: Object | None = None
    """The Deployment of the namespace's gateway."""
    gateway_pods: Sequence[Object] = ()
    taken: Sequence[tuple[str, str]] = ()
    """Names that it claims and an older ModelDeployment serves: (name, that ModelDeployment)."""
    trouble: Cause | None = None
    """What keeps one of its objects from being as it should be: the API server refused it, or somebody contests it."""
    gateway_trouble: Cause | None = None
    """The same of the gateway's."""
    scaling: Cause | None = None
    """Why the autoscaler leaves it as it is; None: it has not said yet, and what was said before holds."""


def status_of(seen: Observed, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Status:
    """The status; times of conditions that hold as they did are kept."""
    replicas, ready = _count(seen.workers, "replicas"), _count(seen.workers, "readyReplicas")
    wanted = seen.deployment.spec.replicas
    conditions = [_ready(seen, ready), _progressing(seen, ready), _gateway_ready(seen), *_autoscaling(seen)]
    return Status(
        observed_generation=seen.deployment.metadata.generation,
        url=gateway_url(seen.deployment.metadata.namespace or "default"),
        replicas=replicas,
        ready_replicas=ready,
        ready=f"{ready}/{wanted}",
        selector=",".join(f"{name}={value}" for name, value in sorted(worker_labels(seen.deployment).items())),
        conditions=[_since(condition, seen.deployment, now) for condition in conditions],
    )


def _ready(seen: Observed, ready: int) -> dict[str, Any]:
    """Whether requests are answered, and if not all is well, the root cause."""
    cause = _trouble(seen) or _shortfall(seen, ready)
    serves = ready > 0 and _count(seen.gateway, "availableReplicas") > 0 and not _own_name_taken(seen)
    return _condition("Ready", "True" if serves else "False", cause)


def _trouble(seen: Observed) -> Cause | None:
    """What keeps names from being served, or objects from being made."""
    if seen.taken:
        who = "; ".join(f"{name!r} is served by the older ModelDeployment {other!r}" for name, other in seen.taken)
        return Cause("NameTaken", f"{who}: choose another spec.model.name or alias")
    if seen.trouble:
        return seen.trouble
    return pod_refused(seen.workers)


def pod_refused(workload: Object | None) -> Cause | None:
    """No pod could be made: a quota, a Pod Security Standard, a webhook."""
    conditions = (workload or {}).get("status", {}).get("conditions", [])
    failed = next((each for each in conditions if each["type"] == "ReplicaFailure" and each["status"] == "True"), None)
    return Cause("PodRefused", failed.get("message", "")) if failed else None


def _shortfall(seen: Observed, ready: int) -> Cause:
    wanted = seen.deployment.spec.replicas
    if wanted == 0:
        why = "nobody asks; the first request starts one" if seen.deployment.spec.autoscaling else "spec.replicas is 0"
        return Cause("ScaledToZero", f"no worker runs: {why}", trouble=False)
    if ready >= wanted:
        if _count(seen.gateway, "availableReplicas") == 0:
            why = _gateway_ready(seen)["message"]
            return Cause("GatewayNotReady", f"the workers are ready, the gateway is not: {why}")
        return Cause("Ready", f"{ready} of {wanted} workers ready", trouble=False)
    cause = root_cause(seen.pods) or Cause("Starting", "the workers are being started", trouble=False)
    return Cause(cause.reason, f"{ready} of {wanted} workers ready: {cause.message}", cause.trouble)


def _progressing(seen: Observed, ready: int) -> dict[str, Any]:
    """Whether workers are being started or replaced; False also where that is stuck."""
    trouble = _trouble(seen)
    if trouble:
        return _condition("Progressing", "False", trouble)
    wanted, current = seen.deployment.spec.replicas, seen.workers or {}
    observed = _count(seen.workers, "observedGeneration") >= current.get("metadata", {}).get("generation", 1)
    updated, total = _count(seen.workers, "updatedReplicas"), _count(seen.workers, "replicas")
    if observed and updated == total == ready == wanted:
        return _condition("Progressing", "False", Cause("Complete", "all workers run what spec says", trouble=False))
    cause = root_cause(seen.pods)
    if cause and cause.trouble:
        return _condition("Progressing", "False", cause)
    text = f"{min(updated, wanted)} of {wanted} workers are new, {ready} ready"
    return _condition("Progressing", "True", Cause("Updating", text, trouble=False))


def _gateway_ready(seen: Observed) -> dict[str, Any]:
    ready = _count(seen.gateway, "availableReplicas")
    cause = seen.gateway_trouble
    if ready:
        cause = cause or Cause("Ready", f"{ready} gateway pods answer", trouble=False)
        return _condition("GatewayReady", "True", cause)
    cause = cause or pod_refused(seen.gateway) or root_cause(seen.gateway_pods)
    return _condition("GatewayReady", "False", cause or Cause("Starting", "no gateway pod answers yet", trouble=False))


def _autoscaling(seen: Observed) -> list[dict[str, Any]]:
    """Whether the number of workers follows the demand, where it is to and can have any."""
    if seen.deployment.spec.autoscaling is None or _own_name_taken(seen):
        return []
    if seen.scaling is None:
        earlier = [each for each in _earlier(seen.deployment) if each.type == "Autoscaling"]
        return [each.model_dump(include={"type", "status", "reason", "message"}) for each in earlier]
    return [_condition("Autoscaling", "False" if seen.scaling.trouble else "True", seen.scaling)]


def _own_name_taken(seen: Observed) -> bool:
    return any(name == seen.deployment.name for name, _ in seen.taken)


def _condition(kind: str, status: Truth, cause: Cause) -> dict[str, Any]:
    reason = re.sub(r"^[^A-Za-z]+|[^A-Za-z0-9_]", "", cause.reason) or "Unknown"
    return {"type": kind, "status": status, "reason": reason, "message": cause.message[:_LONGEST_MESSAGE]}


def _since(condition: dict[str, Any], deployment: ModelDeployment, now: Callable[[], datetime]) -> Condition:
    before = next((each for each in _earlier(deployment) if each.type == condition["type"]), None)
    same = before is not None and before.status == condition["status"]
    since = before.last_transition_time if before is not None and same else now().replace(microsecond=0)
    return Condition(**condition, last_transition_time=since, observed_generation=deployment.metadata.generation)


def _earlier(deployment: ModelDeployment) -> Sequence[Condition]:
    return deployment.status.conditions if deployment.status else []


def _count(workload: Object | None, field: str) -> int:
    return int((workload or {}).get("status", {}).get(field, 0))
