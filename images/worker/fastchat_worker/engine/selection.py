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
from fastchat_worker.native.library import LibraryError, kernels
from fastchat_worker.native.model import NativeModel

logger = logging.getLogger(__name__)
_PLAIN = "plain"
_TRIAL = 16  # tokens, from all over the vocabulary
_TOLERANCE = 1e-3
_TOLERANCE_INT8 = 0.25
"""How far the trial's logits may be from transformers', as a share of their length."""


class MismatchError(Exception):
    """The native model computes something else than transformers' does."""


def select(load: Callable[[], Any], model: Any, wanted: str, *, int8: bool) -> Runner | NativeRunner:
    """The executor of a model, which it owns from here on. `load` loads the model again.

    wanted: auto, native or torch.
    Raises: LoadError where what is wanted cannot be had.
    """
    obstacle = "--executor torch" if wanted == "torch" else _obstacle(model, wanted, int8=int8)
    if obstacle is None:
        try:
            return _native(model, int8=int8)
        except MismatchError as error:
            obstacle = str(error)
            logger.warning("the native executor computes something else than torch (%s)", obstacle)
            if wanted == "auto" and not int8:
                model = load()
    if int8 or wanted == "native":
        option = "--quantization int8" if int8 else "--executor native"
        raise LoadError(f"{option} cannot be had: the native executor cannot run this model here: {obstacle}")
    logger.info("executor: torch, because: %s", obstacle)
    return _torch(model)


def _obstacle(model: Any, wanted: str, *, int8: bool) -> str | None:
    """Why the native executor cannot run a model; None where nothing is in its way."""
    if model.device.type != "cpu":
        return f"the model is on {model.device.type}"
    if model.dtype != torch.float32 and not int8:
        return f"--dtype {str(model.dtype).removeprefix('torch.')}, where it computes in float32"
    try:
        Description(model)
        if kernels() == _PLAIN and wanted == "auto" and not int8:
            return "this CPU has no AVX2"
    except UndescribedError as error:
        return str(error)
    except LibraryError as error:
        return f"{error} (make native)"
    return None


def _native(model: Any, *, int8: bool) -> NativeRunner:
    """Raises: MismatchError; the model's weights are gone then."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    text = [index * vocabulary // _TRIAL for index in range(_TRIAL)]
    expected = _runner(model).logits(text)
    native = NativeModel(model, int8=int8)
    native.take_weights()
    runner = NativeRunner(native)
    _compare(runner.logits(text), expected, _TOLERANCE_INT8 if int8 else _TOLERANCE)
    logger.info(
        "executor: native, %s kernels, weights in %s, %d threads",
        kernels(), "int8" if int8 else "float32", torch.get_num_threads(),
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
