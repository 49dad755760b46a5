"""Whether a configuration describes a model that can be loaded and that generates text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers

from fastchat_worker.errors import LoadError
from fastchat_worker.model.checkpoint import read_json

_PACKAGES = {
    "aqlm": "aqlm",
    "auto-round": "auto-round",
    "awq": "gptqmodel",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "fp_quant": "fp-quant",
    "gptq": "gptqmodel and optimum",
    "hqq": "hqq",
    "quanto": "optimum-quanto",
    "quark": "amd-quark",
    "torchao": "torchao",
    "vptq": "vptq",
}
"""On PyPI, by the method of `quantization_config` that transformers needs them for."""
_ELSEWHERE = "serve it with engine VLLM, or with a newer release of the worker"


def check_architecture(folder: Path, name: str, *, trust_remote_code: bool) -> None:
    """Raises: LoadError where a folder's config.json is not that of a language model which transformers knows.

    With `trust_remote_code` a folder's own code may know it.
    """
    described = read_json(folder / "config.json")
    kind, own_code = described.get("model_type"), described.get("auto_map") or {}
    if trust_remote_code and own_code:
        return
    if kind not in transformers.CONFIG_MAPPING:
        if own_code:
            raise untrusted(name, f"its architecture {kind or ''}".rstrip())
        raise LoadError(
            f"{name}: transformers {transformers.__version__} does not know the architecture {kind}; {_ELSEWHERE}"
            if kind
            else f"{name}: config.json does not say of which architecture it is (model_type)"
        )
    if transformers.CONFIG_MAPPING[kind] not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        if "AutoModelForCausalLM" in own_code:
            raise untrusted(name, f"{kind} as a language model")
        raise _other_task(name, described)
    if described.get("is_encoder_decoder"):
        raise _other_task(name, described)


def check_causal(model: Any, name: str) -> None:
    """Raises: LoadError where a loaded model's tokens see those after them, as an encoder's do."""
    causal = {module.is_causal for module in model.modules() if hasattr(module, "is_causal")}
    if causal == {False}:
        raise _other_task(name, model.config.to_dict())


_UNPACKED = "gguf"
"""The method whose weights transformers unpacks while it loads them, whatever its quantizer says."""


def untrusted(name: str, what: str) -> LoadError:
    """For a model that can only be loaded by Python code in its folder."""
    return LoadError(
        f"{name} brings Python code of its own, which is needed for {what}: read it, and allow the worker to run it by "
        "--trust-remote-code (spec.model.trustRemoteCode); it can do whatever the worker can"
    )


def quantized_by(model: Any) -> str | None:
    """The method by which a loaded model's weights are quantised; None where they are plain numbers by now."""
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is None or getattr(quantizer.quantization_config, "dequantize", False):
        return None
    method = quantizer.quantization_config.quant_method
    method = str(getattr(method, "value", method))
    return None if method == _UNPACKED else method


def missing_package(folder: Path, name: str, error: ImportError) -> LoadError:
    """For weights that only another package can read."""
    quantized = read_json(folder / "config.json").get("quantization_config") or {}
    reason = " ".join(str(error).split("\n")[0].split())
    if quantized:
        method = quantized.get("quant_method", "a method that it does not name")
        return LoadError(
            f"{name} is quantised by {method}, which needs a package that is not here ({reason}): add "
            f"{_PACKAGES.get(method, 'it')} to the worker's image, take the model unquantised or as GGUF, or serve it "
            "with engine VLLM"
        )
    return LoadError(f"{name} needs a package that is not here ({reason}): add it to the worker's image")


def _other_task(name: str, described: Mapping[str, Any]) -> LoadError:
    architecture = next(iter(described.get("architectures") or [described["model_type"]]))
    return LoadError(
        f"{name} is {architecture}, which does not continue a text: serve an encoder with task Embed (--task embed), "
        "another model with engine VLLM"
    )
