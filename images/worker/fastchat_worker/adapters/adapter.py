"""An adapter's weights, compared with the base model that they are to be added to."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fastchat_worker.adapters.config import AdapterConfig, read_config
from fastchat_worker.adapters.targets import Targets
from fastchat_worker.errors import LoadError, first_line

SAFE, PICKLED = "adapter_model.safetensors", "adapter_model.bin"
_KEY = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<part>[AB])(?:\.default)?\.weight")


class LowRank(NamedTuple):
    """Adds x · aᵀ · bᵀ to the outputs of a linear layer. a: [rank, inputs]; b: [outputs, rank], the factor in it."""

    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class Adapter:
    """What is added to which layers of the base, in float32 on the CPU."""

    name: str
    layers: Mapping[str, LowRank]

    @property
    def rank(self) -> int:
        """The highest of its layers."""
        return max(layer.a.shape[0] for layer in self.layers.values())


def read_adapter(folder: Path, name: str, targets: Targets) -> Adapter:
    """The adapter in a folder in PEFT's layout.

    Raises: LoadError, which names what is not computed here or does not fit the base.
    """
    config = read_config(folder, name)
    _check_architecture(config, name, targets)
    pairs = _pairs(_tensors(folder, name), name)
    try:
        layers = {module: _layer(config, name, targets, module, *pair) for module, pair in pairs.items()}
        _check_targets(config, name, pairs)
    except re.error as error:
        raise LoadError(f"adapter {name}: a pattern of its configuration is none: {error}") from None
    return Adapter(name, layers)


def _check_architecture(config: AdapterConfig, name: str, targets: Targets) -> None:
    trained = (config.auto_mapping or {}).get("base_model_class")
    if trained and trained != targets.architecture:
        raise LoadError(f"adapter {name} is for {trained}, and the base is {targets.architecture}: {_other(config)}")


def _tensors(folder: Path, name: str) -> dict[str, Tensor]:
    file = next((folder / each for each in (SAFE, PICKLED) if (folder / each).exists()), None)
    if file is None:
        raise LoadError(f"adapter {name}: {folder} has neither {SAFE} nor {PICKLED}")
    try:
        loaded = load_file(file) if file.name == SAFE else torch.load(file, map_location="cpu", weights_only=True)
        return {key: tensor for key, tensor in loaded.items() if isinstance(tensor, Tensor)}
    except (OSError, RuntimeError, ValueError, AttributeError, EOFError, SafetensorError) as error:
        raise LoadError(f"adapter {name}: {file} cannot be read ({first_line(error)}): make or copy it anew") from None
    except Exception as error:  # pickle's, of which there are many
        raise LoadError(f"adapter {name}: {file} has more in it than tensors: take {SAFE}") from error


def _pairs(tensors: Mapping[str, Tensor], name: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer → its A and B. Raises: LoadError where one lacks the other, and for tensors that are neither."""
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        found = _KEY.fullmatch(key)
        if not found or tensor.dim() != 2:
            raise LoadError(
                f"adapter {name} has {key}, which is no part of a LoRA on a linear layer: not computed here"
            )
        halves.setdefault(found["module"], {})[found["part"]] = tensor
    for module, parts in halves.items():
        if len(parts) < 2:
            raise LoadError(f"adapter {name} has only lora_{next(iter(parts))} of {module}: copy it anew")
    if not halves:
        raise LoadError(f"adapter {name} has no weights")
    return {module: (parts["A"], parts["B"]) for module, parts in halves.items()}


def _layer(config: AdapterConfig, name: str, targets: Targets, module: str, a: Tensor, b: Tensor) -> LowRank:
    """Raises: LoadError where the base has no such layer, or it is of another shape, or of another rank."""
    shape, rank = targets.shapes.get(module), config.rank(module)
    if shape is None:
        raise LoadError(f"adapter {name} is for {module}, a layer that is not adapted here or that the base "
                        f"({targets.architecture}) does not have: {_other(config)}")  # fmt: skip
    if (a.shape[1], b.shape[0]) != (shape.inputs, shape.outputs):
        raise LoadError(f"adapter {name} is for {module} of {a.shape[1]} → {b.shape[0]} numbers, and that of the base "
                        f"has {shape}: {_other(config)}")  # fmt: skip
    if not a.shape[0] == b.shape[1] == rank:
        raise LoadError(f"adapter {name} has weights of rank {a.shape[0]} and {b.shape[1]} for {module}, and its "
                        f"configuration says {rank}: copy all files of one adapter")  # fmt: skip
    if not (a.isfinite().all() and b.isfinite().all()):
        raise LoadError(f"adapter {name} has weights for {module} that are not finite: copy it anew, or train it again")
    return LowRank(a.float(), b.float() * config.factor(module))


def _check_targets(config: AdapterConfig, name: str, modules: Iterable[str]) -> None:
    """Raises: LoadError where the weights are not those of the layers that the configuration names."""
    other = next((module for module in modules if not config.names(module)), None)
    if other:
        raise LoadError(f"adapter {name} has weights for {other}, which its target_modules do not name: "
                        "copy all files of one adapter")  # fmt: skip
    named = [] if isinstance(config.target_modules, str) else config.target_modules or []
    ends = [f".{module}" for module in modules]
    lacking = next((target for target in named if not any(end.endswith(f".{target}") for end in ends)), None)
    if lacking:
        raise LoadError(f"adapter {name} names {lacking} in its target_modules and has no weights for it: "
                        "copy all files of one adapter")  # fmt: skip


def _other(config: AdapterConfig) -> str:
    """What to do about an adapter of another base."""
    base = config.base_model_name_or_path
    return f"it was trained on {base}; serve it with that" if base else "serve it with the base it was trained on"
