"""The servers that run a model: image, command line, environment and probes of each."""

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
    """How an engine is started in a container."""

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


def launch(deployment: ModelDeployment, settings: Settings) -> Launch:
    """How the workers of a ModelDeployment are started."""
    return {"Transformers": _transformers, "VLLM": _vllm, "Custom": _custom}[deployment.spec.engine.type](
        deployment, settings
    )


def _transformers(deployment: ModelDeployment, settings: Settings) -> Launch:
    engine, model = deployment.spec.engine, deployment.spec.model
    args = [
        f"--model-name={deployment.name}",
        f"--model-path={source.path(deployment)}",
        f"--task={model.task.lower()}",
        "--host=0.0.0.0",
        f"--port={WORKER_PORT}",
        f"--grace-period-seconds={deployment.spec.termination_grace_period_seconds}",
        *engine.args,
    ]
    return Launch(
        engine.image or settings.image("worker"),
        engine.ready_path or "/ready",
        args,
        env=_caches() | {"FASTCHAT_CACHE_DIR": source.CACHE},
        read_only=True,
        leave_seconds=0,
    )


def _vllm(deployment: ModelDeployment, settings: Settings) -> Launch:
    """`vllm serve`: https://docs.vllm.ai/en/stable/cli/serve/"""
    engine, model, gpus = deployment.spec.engine, deployment.spec.model, deployment.spec.gpus
    served = model.source.root if model.source.scheme == "hf" else source.path(deployment)
    args = [served, f"--served-model-name={deployment.name}", "--host=0.0.0.0", f"--port={WORKER_PORT}"]
    if model.source.revision:
        args.append(f"--revision={model.source.revision}")
    if model.source.scheme == "s3":
        args.append("--load-format=runai_streamer")
    if model.task == "Embed":
        args.append("--runner=pooling")
    if gpus > 1:
        args.append(f"--tensor-parallel-size={gpus}")
    memory = {"medium": "Memory", "sizeLimit": str(settings.worker.size_limits.shared_memory)}
    shared_memory = source.Mounted("fastchat-shm", "/dev/shm", {"emptyDir": memory})  # noqa: S108
    return Launch(
        engine.image or settings.image("vllm"),
        engine.ready_path or "/health",
        [*args, *engine.args],
        command=["vllm", "serve"],
        # torch asks for the name of its user, and an image that is made for root does not know ours.
        env=_caches() | {"USER": "fastchat", "VLLM_CACHE_ROOT": f"{source.CACHE}/vllm"},
        mounts=[shared_memory],
        token_variable="VLLM_API_KEY",  # noqa: S106  # its name
    )


def _custom(deployment: ModelDeployment, settings: Settings) -> Launch:  # noqa: ARG001  # it brings its own
    engine = deployment.spec.engine
    about = {
        "FASTCHAT_MODEL_NAME": deployment.name,
        "FASTCHAT_MODEL_PATH": source.path(deployment),
        "PORT": str(WORKER_PORT),
    }
    return Launch(engine.image or "", engine.ready_path or "/health", list(engine.args), env=about, user=None)


def _caches() -> dict[str, str]:
    return {"HF_HOME": f"{source.CACHE}/huggingface", "HOME": "/tmp"}  # noqa: S108  # of the container


def probes(launch: Launch) -> dict[str, Any]:
    """Until it is ready it is asked each second, so that it serves as soon as it can; after that, now and then."""

    def get(path: str, **rest: int) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 5, **rest}

    return {
        "startupProbe": get(launch.ready_path, periodSeconds=1, failureThreshold=_PATIENCE_SECONDS),
        "readinessProbe": get(launch.ready_path, periodSeconds=5, failureThreshold=3),
        "livenessProbe": get("/health", periodSeconds=10, failureThreshold=6),
    }
