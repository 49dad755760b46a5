"""LoRA adapters in PEFT's layout, of random weights, and models that they are merged into.

The merged weights are W + factor · B · A (arXiv:2106.09685), factor = alpha / r, with rank stabilisation alpha / √r
(arXiv:2312.03732). Once compared by hand with PEFT 0.21.2: `PeftModel.from_pretrained(…).merge_and_unload()` has the
same weights to 1e-6 for each of the configurations here.
"""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_PREFIX = "base_model.model."


def write_adapter(
    folder: Path, model: Any, *, seed: int = 0, rank: int = 8, targets: tuple[str, ...] = ALL, size: float = 0.3,
    **config: Any,
) -> Path:  # fmt: skip
    """An adapter for a model of transformers; `config` has further fields of adapter_config.json.

    targets: ends of names; those that the model does not have are left out. size: of the addition beside the outputs
    that it is added to, about.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    described = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "org/base", "r": rank,
        "lora_alpha": 2 * rank, "lora_dropout": 0.1, "bias": "none", **config,
    }  # fmt: skip
    tensors: dict[str, torch.Tensor] = {}
    found: dict[str, None] = {}
    for name, module in model.named_modules():
        target = next((target for target in targets if name.endswith("." + target)), None)
        if target is None:
            continue
        found[target] = None
        outputs, inputs = module.weight.shape
        its = _of_pattern(described.get("rank_pattern"), name, rank)
        a = torch.randn(its, inputs, generator=generator) / inputs**0.5
        b = torch.randn(outputs, its, generator=generator) * module.weight.std() * (inputs / its) ** 0.5 * size / 2
        tensors |= {f"{_PREFIX}{name}.lora_A.weight": a, f"{_PREFIX}{name}.lora_B.weight": b}
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"target_modules": [*found], **described}))
    return folder


@torch.no_grad()
def merge(model: Any, folder: Path) -> Any:
    """The model, with an adapter's weights merged into its own."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    for key in [key for key in tensors if ".lora_A." in key]:
        name = key.removeprefix(_PREFIX).partition(".lora_A")[0]
        a, b = tensors[key], tensors[key.replace(".lora_A.", ".lora_B.")]
        rank = _of_pattern(config.get("rank_pattern"), name, config["r"])
        alpha = _of_pattern(config.get("alpha_pattern"), name, config["lora_alpha"])
        factor = alpha / (rank**0.5 if config.get("use_rslora") else rank)
        model.get_submodule(name).weight += factor * b @ a
    return model


def _of_pattern(pattern: dict[str, Any] | None, name: str, otherwise: Any) -> Any:
    return next((value for key, value in (pattern or {}).items() if re.match(rf"(.*\.)?({key})$", name)), otherwise)
