"""Several ModelDeployments, as people look at them."""

from datetime import UTC, datetime

from fastchat import _notebook
from fastchat.v1alpha1.deployment import ModelDeployment

HEAD = ("NAMESPACE", "NAME", "MODEL", "ENGINE", "READY", "PROGRESS", "REASON", "AGE")
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class DeploymentList(list[ModelDeployment]):
    """ModelDeployments; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        return _notebook.table([title.lower() for title in HEAD], map(row, self))


def row(deployment: ModelDeployment) -> tuple[str, ...]:
    """What `kubectl get md` says of one, with its namespace."""
    status, ready, created = deployment.status, deployment.ready, deployment.metadata.creation_timestamp
    return (
        deployment.metadata.namespace or "",
        deployment.metadata.name,
        str(deployment.spec.model.source),
        deployment.spec.engine.type,
        (status.ready or "") if status else "",
        status.progress.summary if status and status.progress else "",
        ready.reason if ready else "",
        age((datetime.now(UTC) - created).total_seconds()) if created else "",
    )


def age(seconds: float) -> str:
    """In its largest unit, as kubectl has it: `45s`, `12m`, `3d`."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{max(seconds, 0) // size:.0f}{unit}"
