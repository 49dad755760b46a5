"""Which executor runs a model, and why: the native one where it computes what transformers does, else torch's."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastchat_worker.engine.native_runner import NativeRunner
from fastchat_worker.engine.runner import Runner, UnsupportedModelError
from fastchat_worker.errors import LoadError
from fastchat_worker.model.linear import pack_linears
from fastchat_worker.native.description import Description, UndescribedError
from fastchat_worker.native.library import LibraryError, Weights, kernels
from fastchat_worker.native.model import NativeModel

logger = logging.getLogger(__name__)
_PLAIN = "plain"
_TRIAL = 16  # tokens, from all over the vocabulary
_TOLERANCES = {Weights.FLOAT32: 1e-3, Weights.BFLOAT16: 0.1, Weights.INT8: 0.25, Weights.INT4: 0.7}
"""How far the trial's logits may be from transformers', as a share of their length."""


class MismatchError(Exception):
    """The native model computes something else than transformers' does."""


def select(load: Callable[[], Any], model: Any, wanted: str, quantization: str) -> Runner | NativeRunner:
    """The executor of a model, which it owns from here on. `load` loads the model again.

    wanted: auto, native or torch. quantization: none, int8 or int4.
    Raises: LoadError where what is wanted cannot be had.
    """
    weights = _weights(model, quantization)
    obstacle = "--executor torch" if wanted == "torch" else _obstacle(model, wanted, weights)
    if obstacle is None:
        try:
            return _native(model, weights)
        except MismatchError as error:
            obstacle = str(error)
            logger.warning("the native executor computes something else than torch (%s)", obstacle)
            if wanted == "auto" and not weights.quantized:
                model = load()
    if weights.quantized or wanted == "native":
        option = f"--quantization {quantization}" if weights.quantized else "--executor native"
        raise LoadError(f"{option} cannot be had: the native executor cannot run this model here: {obstacle}")
    logger.info("executor: torch, because: %s", obstacle)
    return _torch(model)


def _weights(model: Any, quantization: str) -> Weights:
    """What the native executor would keep the weights in."""
    if quantization != "none":
        return Weights[quantization.upper()]
    return Weights.BFLOAT16 if model.dtype == torch.bfloat16 else Weights.FLOAT32


def _obstacle(model: Any, wanted: str, weights: Weights) -> str | None:
    """Why the native executor cannot run a model; None where nothing is in its way."""
    if model.device.type != "cpu":
        return f"the model is on {model.device.type}"
    if model.dtype == torch.float16 and not weights.quantized:
        return "--dtype float16, where its weights are in float32 or bfloat16"
    try:
        Description(model)
        if kernels() == _PLAIN and wanted == "auto" and not weights.quantized:
            return "this CPU has no AVX2"
    except UndescribedError as error:
        return str(error)
    except LibraryError as error:
        return f"{error} (make native)"
    return None


def _native(model: Any, weights: Weights) -> NativeRunner:
    """Raises: MismatchError; the model's weights are gone then."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    text = [index * vocabulary // _TRIAL for index in range(_TRIAL)]
    expected = _runner(model).logits(text)
    native = NativeModel(model, weights=weights)
    native.take_weights()
    runner = NativeRunner(native)
    _compare(runner.logits(text), expected, _TOLERANCES[weights])
    logger.info(
        "executor: native, %s kernels, weights in %s, %d threads",
        kernels(), weights.name.lower(), torch.get_num_threads(),
    )  # fmt: skip
    return runner


def _compare(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Raises: MismatchError, also where one of them is not finite."""
    distance = float((found - expected).norm() / expected.norm())
    if not distance <= tolerance:
        raise MismatchError(f"logits of a trial are off by {distance:.2g} of their length, more than {tolerance:g}")


def _torch(model: Any) -> Runner:
    pack_linears(model)
    return _runner(model)


def _runner(model: Any) -> Runner:
    try:
        return Runner(model)
    except UnsupportedModelError as error:
        raise LoadError(str(error)) from None
