"""adapter_config.json, as PEFT writes it for LoRA: https://huggingface.co/docs/peft/package_reference/lora"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fastchat_worker.errors import LoadError
from fastchat_worker.model.checkpoint import read_json

CONFIG = "adapter_config.json"
_MOST_RANK = 1024
_KEEPS_BASE = ("gaussian", "eva", "orthogonal")
"""Ways to begin training that leave the base's weights as they are; the others subtract something from them."""
_NOT_COMPUTED = (
    *("use_dora", "modules_to_save", "lora_bias", "trainable_token_indices", "layer_replication", "target_parameters"),
    *("alora_invocation_tokens", "use_qalora", "use_bdlora", "arrow_config", "kasa_config", "monteclora_config"),
)


N = TypeVar("N", int, float)


class AdapterConfig(BaseModel):
    """What is read of it: ranks, factors, and which layers they are for."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    peft_type: str
    task_type: str | None = None
    auto_mapping: dict[str, Any] | None = None
    base_model_name_or_path: str | None = None
    r: int = Field(8, ge=1, le=_MOST_RANK)
    lora_alpha: float = 8
    use_rslora: bool = False
    bias: str = "none"
    target_modules: list[str] | str | None = None
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None
    init_lora_weights: bool | str | None = True

    def rank(self, module: str) -> int:
        """Of a layer."""
        return _of_pattern(self.rank_pattern or {}, module, self.r)

    def factor(self, module: str) -> float:
        """What the addition to a layer's outputs is multiplied by."""
        rank, alpha = self.rank(module), _of_pattern(self.alpha_pattern or {}, module, self.lora_alpha)
        return alpha / (rank**0.5 if self.use_rslora else rank)

    def names(self, module: str) -> bool:
        """Whether `target_modules` has a layer: a regular expression for its whole name, or ends of names."""
        targets = self.target_modules
        if isinstance(targets, str):
            return targets == "all-linear" or re.fullmatch(targets, module) is not None
        return any(_ends(module, target) for target in targets or ())


def read_config(folder: Path, name: str) -> AdapterConfig:
    """The configuration of the adapter of this name.

    Raises: LoadError where it is none of LoRA, or asks for what is not computed here.
    """
    try:
        described = read_json(folder / CONFIG)
    except ValueError as error:
        raise LoadError(f"adapter {name}: {CONFIG} cannot be read ({error})") from None
    if not described:
        raise LoadError(f"adapter {name}: {folder} has no {CONFIG}: take the folder that PEFT's save_pretrained wrote")
    try:
        config = AdapterConfig.model_validate(described)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"])) or "it"
        raise LoadError(f"adapter {name}: {CONFIG}: {field}: {wrong['msg']}") from None
    if reason := _not_computed(config):
        raise LoadError(f"adapter {name} {reason}; merge it into its base model, and serve what comes of it")
    return config


def _not_computed(config: AdapterConfig) -> str | None:
    """What the worker does not compute of it, if anything."""
    start = config.init_lora_weights
    if config.peft_type != "LORA":
        return f"is of type {config.peft_type}, and only LORA is computed here"
    if config.task_type not in (None, "CAUSAL_LM"):
        return f"is for task {config.task_type}, and only CAUSAL_LM generates text"
    if config.bias != "none":
        return f"has bias={config.bias}, which changes the base's biases: not computed here"
    if isinstance(start, str) and start not in _KEEPS_BASE:
        return f"has init_lora_weights={start}, which changes the base's weights: not computed here"
    extra = config.model_extra or {}
    asked = next((option for option in _NOT_COMPUTED if extra.get(option)), None)
    return f"has {asked}, which is not computed here" if asked else None


def _of_pattern(pattern: Mapping[str, N], module: str, otherwise: N) -> N:
    """The value of the first key that matches the end of a layer's name."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", module)), otherwise)


def _ends(module: str, target: str) -> bool:
    return module == target or module.endswith("." + target)
