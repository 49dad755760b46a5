"""Loads a language model: its weights, its tokenizer, and what its configuration says of both."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.distributed import DistributedConfig
from transformers.utils import logging as transformers_logging

from fastchat_worker.errors import LoadError
from fastchat_worker.model import rope
from fastchat_worker.model.architecture import check_architecture, check_causal, missing_package
from fastchat_worker.model.checkpoint import check_weights, read_json
from fastchat_worker.model.end_tokens import told_end_tokens
from fastchat_worker.model.gguf import end_ids, opened, parsed_once
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.model.limits import check_limit, context_limit
from fastchat_worker.model.tokenizer import load_tokenizer
from fastchat_worker.model.unread.model import unread_model
from fastchat_worker.model.unread.weights import ModelWeights
from fastchat_worker.model.weights import exact_weights
from fastchat_worker.settings import Settings
from fastchat_worker.sources.digest import files_digest
from fastchat_worker.sources.files import ModelFiles
from fastchat_worker.telemetry.progress import Report


def load(files: ModelFiles, settings: Settings, report: Report, unread: Collection[str] = ()) -> LanguageModel:
    """The model in memory on its device, as transformers has it.

    unread: names of classes whose weights may stay in their files on the CPU.
    Raises: LoadError, which names what to change.
    """
    quiet()
    name, trust = settings.model_path, settings.trust_remote_code
    device = pick_device(settings.device)
    if not files.gguf:
        check_architecture(files.folder, name, trust_remote_code=trust)
        check_weights(files.folder, name)
    report("loading the tokenizer")
    with parsed_once():
        tokenizer = load_tokenizer(files, name, trust_remote_code=trust)
        report("loading the weights")
        dtype = pick_dtype(settings.dtype, device)
        model, weights = (unread and _unread(files, device, dtype, unread)) or (
            _load_weights(files, settings, dtype).to(device),
            ModelWeights(),
        )
        file = files.folder / files.gguf if files.gguf else None
        ends = told_end_tokens(model, tokenizer, end_ids(opened(file)) if file else ())
    text_config = model.config.get_text_config()
    limit = context_limit(text_config, tokenizer.model_max_length)
    check_limit(settings.max_model_len, limit, name)
    digest = files_digest(files.folder, files.names)
    return LanguageModel(model, tokenizer, ends, limit, text_config.vocab_size, weights, file, digest)


def _unread(
    files: ModelFiles, device: torch.device, dtype: torch.dtype | str, classes: Collection[str]
) -> tuple[Any, ModelWeights] | None:
    if device.type != "cpu" or not isinstance(dtype, torch.dtype):
        return None
    return unread_model(files.folder, files.gguf, dtype, classes)


def _load_weights(files: ModelFiles, settings: Settings, dtype: torch.dtype | str) -> Any:
    name = settings.model_path
    try:
        with exact_weights(name):
            model = (
                _from_gguf(files.folder, files.gguf, dtype)
                if files.gguf
                else AutoModelForCausalLM.from_pretrained(
                    files.folder,
                    dtype=dtype,
                    trust_remote_code=settings.trust_remote_code,
                    **_spread(settings),
                    **_placed(files.folder, settings),
                )
            )
            check_causal(model, name)
    except ImportError as error:
        raise missing_package(files.folder, name, error) from error
    return model.eval()


def _spread(settings: Settings) -> dict[str, Any]:
    """How the model is shared out among the ranks, which have joined each other."""
    size = settings.tensor_parallel_size
    return {"distributed_config": DistributedConfig(tp_size=size)} if size > 1 else {}


def _placed(folder: Path, settings: Settings) -> dict[str, Any]:
    """Quantised weights are laid out for the device that they are loaded to, and need not run on another."""
    quantized = read_json(folder / "config.json").get("quantization_config")
    alone = settings.tensor_parallel_size <= 1
    return {"device_map": {"": pick_device(settings.device)}} if quantized and alone else {}


def _from_gguf(folder: Path, name: str, dtype: torch.dtype | str) -> Any:
    file = opened(folder / name)
    config = AutoConfig.from_pretrained(folder, gguf_file=name)
    rope.scale_as_stated(config, file)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype, gguf_file=name)
    rope.divide_frequencies(model, file)
    return model


def quiet() -> None:
    """Keeps transformers' own reports and progress out of the log, which is ours."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def pick_device(name: str) -> torch.device:
    """The device of `--device`. Raises: LoadError where there is none of that name."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LoadError(f"--device {name}: {str(error).partition(chr(10))[0]}") from None
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype | str:
    """auto: what the model was saved in on a GPU; float32 on the CPU, where the smaller types are slower."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    dtype: torch.dtype = getattr(torch, name)
    return dtype
