"""A model of transformers without its weights."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from fastchat_worker.lean import no_compiler
from fastchat_worker.model import rope
from fastchat_worker.model.gguf import opened
from fastchat_worker.model.gguf_file import GgufFile
from fastchat_worker.model.unread.gguf import gguf_sources
from fastchat_worker.model.unread.safetensors import safetensors_sources
from fastchat_worker.model.unread.weights import Source, UnreadWeights


def unread_model(
    folder: Path, gguf_file: str | None, dtype: torch.dtype, classes: Collection[str]
) -> tuple[Any, UnreadWeights] | None:
    """The model of a folder, and what it has to read; None where transformers has to load it, or to say why not.

    classes: names of those of which it may be.
    """
    config = AutoConfig.from_pretrained(folder, **({"gguf_file": gguf_file} if gguf_file else {}))
    if not _plain(config, classes):
        return None
    file = opened(folder / gguf_file) if gguf_file else None
    if file:
        rope.scale_as_stated(config, file)
    model = empty_model(AutoModelForCausalLM.from_config, config, dtype)
    sources = gguf_sources(model, file) if file else safetensors_sources(model, folder)
    if not _complete(model, sources):
        return None
    _finish(model, folder, file)
    return model, UnreadWeights(model, sources)


def empty_model(make: Any, config: Any, dtype: torch.dtype) -> Any:
    """What `make` makes of a configuration; its weights are memory that nothing has written, its buffers are right."""
    with no_compiler(), no_init_weights():
        model = make(config, dtype=dtype)
    model.tie_weights()
    return model.eval()


def _plain(config: Any, classes: Collection[str]) -> bool:
    """Whether it is one of these classes, as transformers has it, with weights of ordinary types."""
    if getattr(config, "auto_map", None) or getattr(config, "quantization_config", None):
        return False
    known = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    return getattr(known, "__name__", "") in classes


def _complete(model: nn.Module, sources: Mapping[str, Source]) -> bool:
    """Whether all that transformers would load has a source, and nothing else."""
    parameters = dict(model.named_parameters())
    others = model.state_dict().keys() - dict(model.named_parameters(remove_duplicate=False)).keys()
    return sources.keys() == parameters.keys() and not others


def _finish(model: Any, folder: Path, file: GgufFile | None) -> None:
    """What transformers does to a model after its weights."""
    if file:
        rope.divide_frequencies(model, file)
    else:
        model.adjust_generation_fn(None, True, False, folder, None, False, None, True, None, "main", "", False)
