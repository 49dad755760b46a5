"""Over how many ranks a model is spread."""

import logging
from typing import Any

import torch
from transformers import AutoConfig

from fastchat_worker.errors import LoadError
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

logger = logging.getLogger(__name__)


def ranks(files: ModelFiles, settings: Settings) -> int:
    """How many; where nothing is asked for, as many as there are GPUs, or one where the model cannot be spread so.

    Raises: LoadError where what is asked for cannot be had, which says why.
    """
    wanted = settings.tensor_parallel_size or _gpus(settings.device) or 1
    obstacle = _obstacle(files, settings, wanted) if wanted > 1 else None
    if obstacle and settings.tensor_parallel_size:
        raise LoadError(f"--tensor-parallel-size {wanted}: {obstacle}")
    if obstacle:
        logger.warning("of %d GPUs one is used: %s", wanted, obstacle)
    return 1 if obstacle else wanted


def _gpus(device: str) -> int:
    """GPUs that may be used; 0 where the model runs elsewhere."""
    return torch.cuda.device_count() if device in ("auto", "cuda") else 0


def _obstacle(files: ModelFiles, settings: Settings, size: int) -> str | None:
    """Why the model cannot be spread over so many ranks."""
    if settings.task != "generate":
        return f"with --task {settings.task} a model runs on one"
    if settings.adapter or settings.adapters_file:
        return "with adapters a model runs on one"
    if settings.executor == "native" or settings.quantization != "none":
        return "the native executor runs a model in one process; leave out --executor and --quantization"
    if files.gguf:
        return "a GGUF file is for one; take the model's safetensors"
    return _missing_gpus(settings.device, size) or _indivisible(_config(files, settings), size)


def _config(files: ModelFiles, settings: Settings) -> Any:
    return AutoConfig.from_pretrained(files.folder, trust_remote_code=settings.trust_remote_code).get_text_config()


def _indivisible(config: Any, size: int) -> str | None:
    if not getattr(config, "base_model_tp_plan", None):
        return f"transformers cannot spread {config.model_type} over GPUs; serve it on one, or with engine VLLM"
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    if heads % size:
        fitting = ", ".join(str(number) for number in range(1, heads + 1) if heads % number == 0)
        return f"the model's {heads} heads of keys and values cannot be shared out so; take one of {fitting}"
    return None


def _missing_gpus(device: str, size: int) -> str | None:
    """On the CPU ranks are processes, as many as are wanted."""
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return None
    if device not in ("auto", "cuda"):
        return f"it takes the first GPUs that the worker sees; leave out --device {device}"
    there = torch.cuda.device_count()
    return None if there >= size else f"the worker sees {there} GPUs"
