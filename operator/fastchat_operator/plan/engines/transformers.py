"""Engine Transformers: FastChat's own worker."""

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import WORKER_PORT
from fastchat_operator.plan import source
from fastchat_operator.plan.engines.launch import Launch, caches
from fastchat_operator.settings import Settings


def launch(deployment: ModelDeployment, settings: Settings) -> Launch:
    """`python -m fastchat_worker`, which is its image's entry point."""
    engine, model = deployment.spec.engine, deployment.spec.model
    args = [
        f"--model-name={deployment.name}",
        f"--model-path={source.path(deployment)}",
        f"--task={model.task.lower()}",
        "--host=0.0.0.0",
        f"--port={WORKER_PORT}",
        f"--grace-period-seconds={deployment.spec.termination_grace_period_seconds}",
        *(["--trust-remote-code"] if model.trust_remote_code else []),
        *(f"--adapter={each.name}={source.adapter_path(each.source)}" for each in model.adapters),
        *source.chat_template_args(deployment),
        *engine.args,
    ]
    return Launch(
        engine.image or settings.image("worker"),
        engine.ready_path or "/ready",
        args,
        env=caches() | {"FASTCHAT_CACHE_DIR": source.CACHE},
        read_only=True,
        leave_seconds=0,
    )
