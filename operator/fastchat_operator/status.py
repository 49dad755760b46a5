"""From what is observed to the status of a ModelDeployment."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from fastchat.deployment import Condition, ModelDeployment, Status
from fastchat.naming import gateway_url
from fastchat_operator.cause import LOADING, Cause, root_cause
from fastchat_operator.kind import Object
from fastchat_operator.meta import worker_labels

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
    taken: Sequence[tuple[str, str]] = ()
    """Names that it claims and an older ModelDeployment serves: (name, that ModelDeployment)."""
    refused: str = ""
    """The API server's words, where it refused one of the objects."""


def status_of(seen: Observed, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Status:
    """The status; times of conditions that hold as they did are kept."""
    replicas, ready = _count(seen.workers, "replicas"), _count(seen.workers, "readyReplicas")
    wanted = seen.deployment.spec.replicas
    conditions = [_ready(seen, ready), _progressing(seen, ready), _gateway_ready(seen)]
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
    if seen.refused:
        return Cause("ApplyFailed", seen.refused)
    failed = _find(seen.workers, "ReplicaFailure")
    if failed.get("status") == "True":
        return Cause("PodRefused", failed.get("message", ""))
    return None


def _shortfall(seen: Observed, ready: int) -> Cause:
    wanted = seen.deployment.spec.replicas
    if wanted == 0:
        return Cause("ScaledToZero", "no worker runs: spec.replicas is 0", trouble=False)
    if ready >= wanted:
        if _count(seen.gateway, "availableReplicas") == 0:
            return Cause("GatewayNotReady", "the workers are ready, the gateway is not: see GatewayReady")
        return Cause("Ready", f"{ready} of {wanted} workers ready", trouble=False)
    cause = root_cause(seen.pods) or Cause(LOADING, "the workers are being started", trouble=False)
    return Cause(cause.reason, f"{ready} of {wanted} workers ready: {cause.message}", cause.trouble)


def _progressing(seen: Observed, ready: int) -> dict[str, Any]:
    """Whether workers are being started or replaced; False also where that is stuck."""
    trouble = _trouble(seen)
    if trouble:
        return _condition("Progressing", "False", trouble)
    wanted, current = seen.deployment.spec.replicas, seen.workers or {}
    observed = current.get("status", {}).get("observedGeneration", -1) >= current.get("metadata", {}).get(
        "generation", 0
    )
    updated, total = _count(seen.workers, "updatedReplicas"), _count(seen.workers, "replicas")
    if observed and updated == total == ready == wanted:
        return _condition("Progressing", "False", Cause("Complete", "all workers run what spec says"))
    cause = root_cause(seen.pods)
    if cause and cause.trouble:
        return _condition("Progressing", "False", cause)
    text = f"{min(updated, wanted)} of {wanted} workers are new, {ready} ready"
    return _condition("Progressing", "True", Cause("Updating", text))


def _gateway_ready(seen: Observed) -> dict[str, Any]:
    if seen.gateway is None:
        return _condition("GatewayReady", "False", Cause("NotCreated", "the gateway is being created"))
    there, wanted = _count(seen.gateway, "availableReplicas"), seen.gateway["spec"].get("replicas", 1)
    if there:
        return _condition("GatewayReady", "True", Cause("Ready", f"{there} of {wanted} gateway pods answer"))
    failed = _find(seen.gateway, "ReplicaFailure")
    if failed.get("status") == "True":
        return _condition("GatewayReady", "False", Cause("PodRefused", failed.get("message", "")))
    return _condition("GatewayReady", "False", Cause("Starting", "no gateway pod answers yet"))


def _own_name_taken(seen: Observed) -> bool:
    return any(name == seen.deployment.name for name, _ in seen.taken)


def _condition(kind: str, status: Truth, cause: Cause) -> dict[str, Any]:
    reason = re.sub(r"[^A-Za-z0-9_]", "", cause.reason) or "Unknown"
    return {"type": kind, "status": status, "reason": reason, "message": cause.message}


def _since(condition: dict[str, Any], deployment: ModelDeployment, now: Callable[[], datetime]) -> Condition:
    earlier = deployment.status.conditions if deployment.status else []
    before = next((each for each in earlier if each.type == condition["type"]), None)
    same = before is not None and before.status == condition["status"]
    since = before.last_transition_time if before is not None and same else now().replace(microsecond=0)
    return Condition(**condition, last_transition_time=since, observed_generation=deployment.metadata.generation)


def _count(workload: Object | None, field: str) -> int:
    return int((workload or {}).get("status", {}).get(field, 0))


def _find(workload: Object | None, kind: str) -> Object:
    conditions = (workload or {}).get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})
