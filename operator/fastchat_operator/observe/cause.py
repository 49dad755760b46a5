"""Why a pod is not ready, read off its status: the root cause, not the symptom."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastchat._kube.kind import Object

_LONGEST = 1000
_WORKER = "worker"
"""Its container; beside it a mesh may have put others."""
_CREATING = {"", "ContainerCreating", "PodInitializing"}
_IMAGE_REASONS = {
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_LOST_REASONS = {"ContainerStatusUnknown", "Unknown"}
"""Reasons of a container that ended with its node: they say nothing about the worker."""


@dataclass(frozen=True)
class Cause:
    """Why something is as it is: a reason for programs, a message for people."""

    reason: str
    message: str
    trouble: bool = True
    """Whether a person has to do something; otherwise it takes only time."""


LOADING = "Loading"
_CALM = {LOADING: 1, "Starting": 2, "Scheduling": 3}
"""Reasons that only take time, the one nearest to ready first."""


def root_cause(pods: Iterable[Object]) -> Cause | None:
    """What keeps these pods from being ready: trouble before what only takes time, of the newest pod; None: all are."""
    newest_first = sorted(pods, key=_born, reverse=True)
    alive = [pod for pod in newest_first if pod.get("status", {}).get("phase") != "Failed"]
    causes = [cause for pod in [*alive, *_not_replaced(newest_first)] if (cause := pod_cause(pod))]
    return min(causes, key=lambda cause: _CALM.get(cause.reason, 0), default=None)


def _born(pod: Object) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]


def _not_replaced(newest_first: Sequence[Object]) -> list[Object]:
    """Failed pods that no younger ready one has replaced; a cluster keeps the others for long."""
    failed = []
    for pod in newest_first:
        if _is_ready(pod):
            break
        if pod.get("status", {}).get("phase") == "Failed":
            failed.append(pod)
    return failed


def pod_cause(pod: Object) -> Cause | None:
    """What keeps one pod from being ready; None where it is, or where it is on its way out."""
    status = pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp") or _is_ready(pod):
        return None
    if status.get("phase") == "Failed" and status.get("reason"):
        return Cause(status["reason"], _short(status.get("message", "")))
    containers = status.get("containerStatuses", [])
    if not containers:
        return _unscheduled(status)
    unready = [each for each in containers if not each.get("ready")]
    if not unready:
        node = pod.get("spec", {}).get("nodeName", "")
        return Cause("NodeNotReady", f"node {node} does not report any more: whether the pod still runs is not known")
    container = next((each for each in unready if each["name"] == _WORKER), unready[0])
    unready_since = _condition(status, "Ready").get("lastTransitionTime", "")
    return _waiting(container) or _ended(container) or _running(container, unready_since)


def is_pulling(pod: Object) -> bool:
    """Whether its node fetches the worker's image: the pod has its network and its volumes, and no container yet.

    Nothing else is said of a pull but in Events, which an operator may only write.
    """
    status = pod.get("status", {})
    containers = status.get("containerStatuses", [])
    worker: Mapping[str, Any] = next((each for each in containers if each["name"] == _WORKER), {})
    waits = worker.get("state", {}).get("waiting", {}).get("reason") == "ContainerCreating"
    has_all = _condition(status, "PodReadyToStartContainers").get("status") == "True"
    return waits and has_all and not worker.get("lastState") and not pod["metadata"].get("deletionTimestamp")


def _is_ready(pod: Object) -> bool:
    return _condition(pod.get("status", {}), "Ready").get("status") == "True"


def _unscheduled(status: Mapping[str, Any]) -> Cause:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return Cause(scheduled.get("reason", "Unschedulable"), _short(scheduled.get("message", "")))
    if scheduled.get("status") == "True":
        return Cause("Starting", "the pod is being started", trouble=False)
    return Cause("Scheduling", "the scheduler has not looked at the pod yet", trouble=False)


def _waiting(container: Mapping[str, Any]) -> Cause | None:
    waiting = container.get("state", {}).get("waiting")
    if waiting is None or waiting.get("reason") == "CrashLoopBackOff":
        return None
    reason, message = waiting.get("reason", ""), _short(waiting.get("message", ""))
    if reason in _CREATING:
        return _ended(container) or Cause("Starting", message or "the container is being created", trouble=False)
    if reason in _IMAGE_REASONS:
        return Cause("ImagePullFailed", f"image {container['image']}: {_pull_error(message)}")
    return Cause("ContainerCreateFailed", message or reason)


def _pull_error(message: str) -> str:
    """The error itself, without who reports it: the kubelet words it anew while it waits for the next try."""
    message = re.sub(r'^Back-off pulling image "[^"]*"(: )?', "", message)
    message = re.sub(r"^(ErrImagePull|RegistryUnavailable|SignatureValidationFailed): ", "", message)
    return message or "the kubelet waits before it tries again"


def _ended(container: Mapping[str, Any]) -> Cause | None:
    """How the container ended, or its last run, until this one has got further than that."""
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if ended is None or container.get("started") or ended.get("reason") in _LOST_REASONS:
        return None
    restarts = container.get("restartCount", 0)
    cause = _end(container["name"], ended)
    return Cause(cause.reason, f"{cause.message} (restarted {restarts} times)") if restarts > 1 else cause


def _end(container: str, ended: Mapping[str, Any]) -> Cause:
    code, said = ended.get("exitCode", 0), _last_line(ended.get("message", ""))
    if ended.get("reason") == "OOMKilled":
        return Cause("OutOfMemory", "it needed more memory than resources.limits.memory allows")
    if ended.get("reason") in {"ContainerCannotRun", "StartError"}:
        return Cause("ContainerCreateFailed", said)
    if code == 0:
        return Cause("Exited", "it ended with exit code 0: by itself, or because it did not answer its probes")
    if code in (137, 143):
        words = f"; it said last: {said}" if said else ""
        return Cause("Killed", f"it did not answer its probes, or its node was out of memory{words}")
    reason = "ModelLoadFailed" if container == _WORKER else "ContainerFailed"
    return Cause(reason, said or f"{container} ended with exit code {code}")


def _running(container: Mapping[str, Any], unready_since: str) -> Cause:
    """A container that has just started is not ready for a moment; Kubernetes' times are in UTC and sort as text."""
    running = container.get("state", {}).get("running")
    if running and container.get("started") and unready_since > running.get("startedAt", ""):
        return Cause("NotReady", "it was ready before and does not say so any more: it is overloaded or stuck")
    if running is not None and container["name"] == _WORKER:
        return Cause(LOADING, "the model is being loaded", trouble=False)
    return Cause("Starting", "the container is being started", trouble=False)


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _short(lines[-1]) if lines else ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
