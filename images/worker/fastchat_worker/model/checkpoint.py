"""What a folder has of a model, before any of it is loaded."""

import json
from pathlib import Path
from typing import Any

from fastchat_worker.errors import LoadError

_WHOLE = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where transformers looks for weights, in its order."""
_OTHERS = ("*.pth", "*.pt", "*.h5", "*.msgpack", "*.onnx", "*.ckpt", "*.npz", "consolidated*.safetensors")


def check_weights(folder: Path, name: str) -> None:
    """Raises: LoadError where a folder in transformers' layout has no weights, or not all that its index names."""
    found = next((file for file in _WHOLE if (folder / file).exists()), None)
    if found is None and not _names_its_own(folder):
        raise LoadError(f"{name} has no weights: {_instead(folder)}")
    if found and found.endswith(".index.json"):
        shards = sorted(set(read_json(folder / found).get("weight_map", {}).values()))
        missing = [shard for shard in shards if not (folder / shard).exists()]
        if missing:
            raise LoadError(
                f"{name} has {len(shards) - len(missing)} of the {len(shards)} files of weights that {found} names; "
                f"missing: {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}: copy all of them"
            )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file; empty where there is no such file. Raises: ValueError where it is something else."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is no JSON object")  # noqa: TRY004  # of the file, not of the caller
    return value


def read_modules(folder: Path) -> list[dict[str, str]] | None:
    """The layers of a sentence-transformers model, each with `path` and `type`; None for a folder that is none."""
    try:
        modules: list[dict[str, str]] = json.loads((folder / "modules.json").read_bytes())
    except FileNotFoundError:
        return None
    return modules


def _names_its_own(folder: Path) -> bool:
    return bool(read_json(folder / "config.json").get("transformers_weights"))


def _instead(folder: Path) -> str:
    """What there is in their place, and what to do."""
    if (folder / "adapter_config.json").exists():
        base = read_json(folder / "adapter_config.json").get("base_model_name_or_path", "its base model")
        return f"it is an adapter for {base}: merge it into that model, or serve that with --adapter NAME=SOURCE"
    others = sorted({path.name for pattern in _OTHERS for path in folder.glob(pattern)})
    if others:
        return f"{', '.join(others[:3])} is another layout: take the model in transformers' (safetensors) or as GGUF"
    return f"none of {', '.join(_WHOLE)} is there: download or copy them"
