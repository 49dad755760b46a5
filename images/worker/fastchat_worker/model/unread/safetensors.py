"""Weights that stand in safetensors files."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from fastchat_worker.model.checkpoint import read_json
from fastchat_worker.model.unread.weights import Source

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


def safetensors_sources(model: nn.Module, folder: Path) -> Mapping[str, Source]:
    """A model's parameters by name, where the files have exactly these; else nothing.

    Files are mapped, so that numbers are read from the disk when they are first looked at.
    """
    parameters = dict(model.named_parameters())
    sources: dict[str, Source] = {}
    for file in _files(folder):
        opened: Any = safe_open(folder / file, framework="pt")
        for name in opened.keys():  # noqa: SIM118  # it is no mapping
            parameter = parameters.get(name)
            if parameter is None or tuple(opened.get_slice(name).get_shape()) != tuple(parameter.shape):
                return {}
            sources[name] = partial(_read, opened, name)
    return sources


def _files(folder: Path) -> Sequence[str]:
    if (folder / _WHOLE).exists():
        return [_WHOLE]
    return sorted(set(read_json(folder / _INDEX).get("weight_map", {}).values()))


def _read(opened: Any, name: str, rows: Sequence[int] | None) -> Tensor:
    tensor: Tensor = opened.get_tensor(name)
    return tensor if rows is None else tensor[torch.tensor(list(rows))]
