"""Engine VLLM: `vllm serve` of vLLM's own image."""

from collections.abc import Sequence

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.model import Adapter
from fastchat.v1alpha1.names import WORKER_PORT
from fastchat.v1alpha1.source import ModelSource
from fastchat_operator.plan import source
from fastchat_operator.plan.engines.launch import Launch, caches
from fastchat_operator.settings import Settings

_ADAPTERS_AT_ONCE = 8
"""Adapters that may run in one batch, for each of which vLLM sets memory aside; its own default is 1."""


def launch(deployment: ModelDeployment, settings: Settings) -> Launch:
    """https://docs.vllm.ai/en/stable/cli/serve/"""
    engine = deployment.spec.engine
    memory = {"medium": "Memory", "sizeLimit": str(settings.worker.size_limits.shared_memory)}
    shared_memory = source.Mounted("fastchat-shm", "/dev/shm", {"emptyDir": memory})  # noqa: S108
    return Launch(
        engine.image or settings.image("vllm"),
        engine.ready_path or "/health",
        [*_args(deployment), *source.chat_template_args(deployment), *engine.args],
        command=["vllm", "serve"],
        # torch asks for the name of its user, and an image that is made for root does not know ours.
        env=caches() | {"USER": "fastchat", "VLLM_CACHE_ROOT": f"{source.CACHE}/vllm"},
        mounts=[shared_memory],
        token_variable="VLLM_API_KEY",  # noqa: S106  # its name
    )


def _args(deployment: ModelDeployment) -> list[str]:
    model, gpus = deployment.spec.model, deployment.spec.gpus
    served = _on_the_hub(model.source) if model.source.scheme == "hf" else source.path(deployment)
    args = [served, f"--served-model-name={deployment.name}", "--host=0.0.0.0", f"--port={WORKER_PORT}"]
    if model.source.revision:
        args.append(f"--revision={model.source.revision}")
    if model.source.scheme == "s3":
        args.append("--load-format=runai_streamer")
    if model.task != "Generate":
        args.append("--runner=pooling")
    if gpus > 1:
        args.append(f"--tensor-parallel-size={gpus}")
    if model.trust_remote_code:
        args.append("--trust-remote-code")
    return args + _adapters(model.adapters)


def _adapters(adapters: Sequence[Adapter]) -> list[str]:
    """https://docs.vllm.ai/en/stable/features/lora/"""
    if not adapters:
        return []
    at_once = min(len(adapters), _ADAPTERS_AT_ONCE)
    modules = (f"{each.name}={_adapter_path(each.source)}" for each in adapters)
    return ["--enable-lora", f"--max-loras={at_once}", "--lora-modules", *modules]


def _adapter_path(of: ModelSource) -> str:
    return of.root if of.scheme == "hf" else source.adapter_path(of)


def _on_the_hub(model: ModelSource) -> str:
    """A repository, or one GGUF file of it, which vLLM writes with a slash by its path and with a colon by its type."""
    if model.file is None:
        return model.root
    return f"{model.root}{'/' if model.file.endswith('.gguf') else ':'}{model.file}"
