"""Loads a language model: its weights, its tokenizer, and what its configuration says of both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from fastchat_worker.errors import LoadError
from fastchat_worker.model.gguf import parsed_once
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

_UNLIMITED = 1 << 20  # tokens; tokenizers without a limit give a number with thirty digits


def load(files: ModelFiles, settings: Settings, report: Callable[[str], None]) -> LanguageModel:
    """The model in memory on its device, as transformers has it. Raises: LoadError, which names what to change."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    device = pick_device(settings.device)
    report("loading the tokenizer")
    with parsed_once():
        tokenizer = AutoTokenizer.from_pretrained(files.folder, **files.kwargs)
        report("loading the weights")
        model = AutoModelForCausalLM.from_pretrained(
            files.folder, dtype=pick_dtype(settings.dtype, device), **files.kwargs
        )
    model = model.eval().to(device)
    if settings.chat_template:
        tokenizer.chat_template = _read(settings.chat_template)
    text_config = model.config.get_text_config()
    limit = getattr(text_config, "max_position_embeddings", None) or min(tokenizer.model_max_length, _UNLIMITED)
    return LanguageModel(model, tokenizer, _end_tokens(model, tokenizer), limit, text_config.vocab_size)


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


def _end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    listed = [ends] if isinstance(ends, int) else ends or []
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise LoadError(f"--chat-template {path}: {error.strerror}") from None
