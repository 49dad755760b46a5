"""ModelDeployments as commands print them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastchat.v1alpha1.deployment import ModelDeployment
    from fastchat.v1alpha1.status import LoadProgress

_BAR = 24
"""Characters."""
STYLES = {"Ready": "green", "ScaledToZero": "dim", "Scheduling": "yellow", "Starting": "yellow", "Loading": "yellow"}
"""Reasons → rich's style; those that are missing are trouble."""
_TROUBLE = "red"


def as_json(deployment: "ModelDeployment") -> dict[str, Any]:
    """As the Kubernetes API has it, without the fields that nobody set."""
    return deployment.model_dump(mode="json", by_alias=True, exclude_unset=True)


def style(reason: str) -> str:
    return STYLES.get(reason, _TROUBLE)


def bar(progress: "LoadProgress") -> str:
    """`Downloading ███████───────  30%  4.1Gi of 13.5Gi, 95s left`; without a share only the words."""
    if progress.percent is None:
        return progress.summary
    full = round(progress.percent / 100 * _BAR)
    drawn = "█" * full + "─" * (_BAR - full)
    phase, _, left = progress.summary.partition(f" {progress.percent}%")
    amounts = f"  {progress.done} of {progress.total}" if progress.done is not None else ""
    return f"{phase} {drawn} {progress.percent:3d}%{amounts}{left}"


def line(deployment: "ModelDeployment") -> str:
    """State and progress in one line: `vicuna 0/1 Loading: Downloading 30%, 95s left`."""
    status, ready = deployment.status, deployment.ready
    if status is None or ready is None:
        return f"{deployment.metadata.name}: the operator has not looked at it yet"
    about = status.progress.summary if status.progress else ready.message
    return f"{deployment.metadata.name} {status.ready} {ready.reason}: {about}"


def details(deployment: "ModelDeployment") -> Iterator[tuple[str, str, str]]:
    """(what, words, style) of all that there is to say of one, line by line."""
    spec, status, ready = deployment.spec, deployment.status, deployment.ready
    yield "name", f"{deployment.metadata.name} in {deployment.metadata.namespace or 'default'}", "bold"
    yield "model", str(spec.model.source), ""
    yield "served as", ", ".join(deployment.names), ""
    yield "engine", f"{spec.engine.type}, {spec.gpus} GPUs a worker" if spec.gpus else spec.engine.type, ""
    if status is None or ready is None:
        yield "state", "the operator has not looked at it yet: fastchat doctor says whether one runs", "yellow"
        return
    yield "workers", f"{status.ready_replicas} ready, {status.replicas} there, {spec.replicas} wanted", ""
    yield "state", ready.reason, style(ready.reason)
    yield "why", ready.message, ""
    if status.progress:
        yield "progress", bar(status.progress), "cyan"
    yield "URL", status.url or "", ""
    for each in status.conditions:
        if each.type != "Ready":
            yield each.type, f"{each.status}, {each.reason}: {each.message}", ""
