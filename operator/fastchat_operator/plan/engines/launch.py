"""How an engine is started in a worker's container."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import INTERNAL_TOKEN_VARIABLE, WORKER_PORT
from fastchat_operator.plan import source
from fastchat_operator.settings import Settings

_USER = 65532
_PATIENCE_SECONDS = 6 * 3600
"""A foreign engine may take this long to load its model; ours watches its own progress and ends when there is none."""


@dataclass(frozen=True)
class Launch:
    """Image, command line, environment, ports and probes of one engine's container."""

    image: str
    ready_path: str
    args: list[str]
    command: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    mounts: list[source.Mounted] = field(default_factory=list)
    user: int | None = _USER
    read_only: bool = False
    """Whether its root file system can be read-only."""
    leave_seconds: int = 5
    """Before SIGTERM: time for the gateways to hear that it goes. 0 for an engine that turns requests away itself."""
    token_variable: str = INTERNAL_TOKEN_VARIABLE
    """Where it looks for the key that gateways send."""

    def ports(self) -> list[dict[str, Any]]:
        """The port of its HTTP server, on which probes, gateways and Prometheus find it by its name."""
        return [{"name": "http", "containerPort": WORKER_PORT, "protocol": "TCP"}]

    def probes(self) -> dict[str, Any]:
        """Its probes: each second until it is ready, so that it serves as soon as it can; after that, now and then."""
        return {
            "startupProbe": _get(self.ready_path, periodSeconds=1, failureThreshold=_PATIENCE_SECONDS),
            "readinessProbe": _get(self.ready_path, periodSeconds=5, failureThreshold=3),
            "livenessProbe": _get("/health", periodSeconds=10, failureThreshold=6),
        }


Engine = Callable[[ModelDeployment, Settings], Launch]
"""How the workers of a ModelDeployment are started by one engine."""


def caches() -> dict[str, str]:
    """Environment of an engine that downloads from the Hugging Face hub: its cache, and a home that it can write to."""
    return {"HF_HOME": f"{source.CACHE}/huggingface", "HOME": "/tmp"}  # noqa: S108  # of the container


def _get(path: str, **rest: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 5, **rest}
