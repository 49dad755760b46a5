"""Why a worker is not ready, read off its pod: the root cause, not the symptom."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastchat_operator.kind import Object

_LONGEST = 1000
_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


@dataclass(frozen=True)
class Cause:
    """In one word, and in words for people."""

    reason: str
    message: str
    trouble: bool = True
    """Whether it needs somebody; otherwise it takes only time."""


LOADING = "Loading"


def root_cause(pods: Iterable[Object]) -> Cause | None:
    """What keeps these workers from being ready: trouble before what only takes time; None where all are."""
    causes = [cause for pod in pods if (cause := pod_cause(pod))]
    return min(causes, key=lambda cause: (not cause.trouble, _RANK.get(cause.reason, 0)), default=None)


_RANK = {LOADING: 1, "Starting": 2, "Scheduling": 3}


def pod_cause(pod: Object) -> Cause | None:
    """What keeps one worker from being ready; None where it is, or where it is on its way out."""
    status = pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp") or _condition(status, "Ready").get("status") == "True":
        return None
    if status.get("phase") == "Failed" and status.get("reason"):
        return Cause(status["reason"], _short(status.get("message", "")))
    container = next(iter(status.get("containerStatuses", [])), None)
    if container is None:
        return _unscheduled(status)
    return _waiting(container) or _ended(container) or _loading(container)


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
    if reason in _IMAGE_REASONS:
        return Cause("ImagePullFailed", f"image {container['image']}: {_pull_error(message)}")
    if reason in _CONFIG_REASONS:
        return Cause("ContainerCreateFailed", message)
    return Cause("Starting", message or "the container is being created", trouble=False)


def _pull_error(message: str) -> str:
    """The error itself, without who reports it; the kubelet words it anew at every try."""
    message = re.sub(r"^Back-off pulling image \"[^\"]*\":? ?", "", message)
    message = re.sub(r"^ErrImagePull: ", "", message)
    return message or "the kubelet waits before it tries again"


def _ended(container: Mapping[str, Any]) -> Cause | None:
    """How the container ended, or its last run before this one."""
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if ended is None:
        return None
    restarts = container.get("restartCount", 0)
    times = f" (restarted {restarts} times)" if restarts > 1 else ""
    if ended.get("reason") == "OOMKilled":
        return Cause("OutOfMemory", f"the worker needed more memory than resources.limits.memory allows{times}")
    code = ended.get("exitCode", 0)
    if code == 0:
        return None
    said = _last_line(ended.get("message", ""))
    if ended.get("reason") in {"ContainerCannotRun", "StartError"}:
        return Cause("ContainerCreateFailed", f"{said}{times}")
    if code == 137:
        return Cause(
            "Killed", f"{said or 'the worker was killed: it did not answer its probes, or its node was full'}{times}"
        )
    return Cause("ModelLoadFailed", f"{said or f'the worker ended with exit code {code}'}{times}")


def _loading(container: Mapping[str, Any]) -> Cause:
    if container.get("state", {}).get("running"):
        # Once started, it has been ready before: it is busy, or on its way out.
        reason = "NotReady" if container.get("started") else LOADING
        text = "the worker does not say that it is ready" if container.get("started") else "the model is being loaded"
        return Cause(reason, text, trouble=reason != LOADING)
    return Cause("Starting", "the container is being started", trouble=False)


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _short(lines[-1]) if lines else ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
