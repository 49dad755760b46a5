"""From what is observed to the status of a ModelDeployment."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from fastchat._kube.kind import Object
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import gateway_url
from fastchat.v1alpha1.status import Condition, LoadProgress, Status
from fastchat_operator.kube.meta import worker_labels
from fastchat_operator.observe.cause import Cause, root_cause
from fastchat_operator.plan.workloads import workload_for
from fastchat_operator.plan.workloads.workload import NO_PODS, Progress

_LONGEST_MESSAGE = 32768

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Observed:
    """One ModelDeployment and all that its status depends on."""

    deployment: ModelDeployment
    workers: Progress = NO_PODS
    """Of its workers."""
    pods: Sequence[Object] = ()
    gateway: Progress = NO_PODS
    """Of the namespace's gateway."""
    gateway_pods: Sequence[Object] = ()
    name_conflicts: Sequence[tuple[str, str]] = ()
    """Names that it claims and an older ModelDeployment serves: (name, that ModelDeployment)."""
    trouble: Cause | None = None
    """What keeps one of its objects from being as it should be: the API server refused it, or somebody contests it."""
    gateway_trouble: Cause | None = None
    """The same of the gateway's."""
    progress: LoadProgress | None = None
    """How far workers are that are being started."""
    scaling: Cause | None = None
    """Why the autoscaler leaves it as it is; None: it has not said yet, and what was said before holds."""


def status_of(seen: Observed, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Status:
    """The status; times of conditions that hold as they did are kept."""
    ready, wanted = seen.workers.ready, seen.deployment.spec.replicas
    selector = workload_for(seen.deployment).selector(worker_labels(seen.deployment))
    conditions = [_ready(seen), _progressing(seen), _gateway_ready(seen), *_autoscaling(seen)]
    return Status(
        observed_generation=seen.deployment.metadata.generation,
        url=gateway_url(seen.deployment.metadata.namespace or "default"),
        replicas=seen.workers.current,
        ready_replicas=ready,
        ready=f"{ready}/{wanted}",
        selector=",".join(f"{name}={value}" for name, value in sorted(selector.items())),
        progress=seen.progress,
        conditions=[_since(condition, seen.deployment, now) for condition in conditions],
    )


def _ready(seen: Observed) -> dict[str, Any]:
    """Whether requests are served, and the root cause where not all is well."""
    cause = _trouble(seen) or _shortfall(seen)
    serves = seen.workers.ready > 0 and seen.gateway.available > 0 and not _own_name_conflicts(seen)
    return _condition("Ready", "True" if serves else "False", cause)


def _trouble(seen: Observed) -> Cause | None:
    """What keeps names from being served, or objects from being made."""
    if seen.name_conflicts:
        who = "; ".join(
            f"{name!r} is served by the older ModelDeployment {other!r}" for name, other in seen.name_conflicts
        )
        return Cause("NameTaken", f"{who}: choose another spec.model.name or alias")
    if seen.trouble:
        return seen.trouble
    return _pod_refused(seen.workers)


def _pod_refused(workload: Progress) -> Cause | None:
    return None if workload.refused is None else Cause("PodRefused", workload.refused)


def _shortfall(seen: Observed) -> Cause:
    ready, wanted = seen.workers.ready, seen.deployment.spec.replicas
    if wanted == 0:
        why = "nobody asks; the first request starts one" if seen.deployment.spec.autoscaling else "spec.replicas is 0"
        return Cause("ScaledToZero", f"no worker runs: {why}", trouble=False)
    if ready >= wanted:
        if seen.gateway.available == 0:
            why = _gateway_ready(seen)["message"]
            return Cause("GatewayNotReady", f"the workers are ready, the gateway is not: {why}")
        return Cause("Ready", f"{ready} of {wanted} workers ready", trouble=False)
    cause = root_cause(seen.pods) or Cause("Starting", "the workers are being started", trouble=False)
    return Cause(cause.reason, f"{ready} of {wanted} workers ready: {cause.message}", cause.trouble)


def _progressing(seen: Observed) -> dict[str, Any]:
    """Whether workers are being started or replaced; False also where that is stuck."""
    trouble = _trouble(seen)
    if trouble:
        return _condition("Progressing", "False", trouble)
    wanted, workers = seen.deployment.spec.replicas, seen.workers
    if workers.observed and workers.updated == workers.current == workers.ready == wanted:
        return _condition("Progressing", "False", Cause("Complete", "all workers run what spec says", trouble=False))
    cause = root_cause(seen.pods)
    if cause and cause.trouble:
        return _condition("Progressing", "False", cause)
    text = f"{min(workers.updated, wanted)} of {wanted} workers are new, {workers.ready} ready"
    return _condition("Progressing", "True", Cause("Updating", text, trouble=False))


def _gateway_ready(seen: Observed) -> dict[str, Any]:
    ready = seen.gateway.available
    cause = seen.gateway_trouble
    if ready:
        cause = cause or Cause("Ready", f"{ready} gateway pods answer", trouble=False)
        return _condition("GatewayReady", "True", cause)
    cause = cause or _pod_refused(seen.gateway) or root_cause(seen.gateway_pods)
    return _condition("GatewayReady", "False", cause or Cause("Starting", "no gateway pod answers yet", trouble=False))


def _autoscaling(seen: Observed) -> list[dict[str, Any]]:
    """Whether the number of workers follows the demand, where it is to and can have any."""
    if seen.deployment.spec.autoscaling is None or _own_name_conflicts(seen):
        return []
    if seen.scaling is None:
        earlier = [each for each in _earlier(seen.deployment) if each.type == "Autoscaling"]
        return [each.model_dump(include={"type", "status", "reason", "message"}) for each in earlier]
    return [_condition("Autoscaling", "False" if seen.scaling.trouble else "True", seen.scaling)]


def _own_name_conflicts(seen: Observed) -> bool:
    return any(name == seen.deployment.name for name, _ in seen.name_conflicts)


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
