"""Which executor runs a model, and why: the native one where it computes what transformers does, else torch's."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fastchat_worker.engine.native_runner import NativeRunner
from fastchat_worker.engine.runner import Runner, UnsupportedModelError
from fastchat_worker.engine.selection.trial import distance
from fastchat_worker.errors import LoadError
from fastchat_worker.model.architecture import quantized_by
from fastchat_worker.model.gguf import tensors
from fastchat_worker.model.linear import pack_linears
from fastchat_worker.model.unread.weights import ModelWeights
from fastchat_worker.native.description import Description, UndescribedError
from fastchat_worker.native.importance import measured
from fastchat_worker.native.library import LibraryError, Weights, kernels
from fastchat_worker.native.mixture import Mixture
from fastchat_worker.native.model import NativeModel

logger = logging.getLogger(__name__)
_PLAIN = "plain"
_MEASURED = 256  # tokens that tell how large the inputs of linear layers are
_QUANTIZED = {"int8": Weights.INT8, "int4": Weights.INT4_BLOCKS, "gguf": Weights.INT8}
_TOLERANCES = {Weights.FLOAT32: 1e-3, Weights.BFLOAT16: 0.1, Weights.INT8: 0.25, Weights.INT4_BLOCKS: 0.7}
"""How far the trial's logits may be from transformers', as a share of their length."""


def select(
    model: Any,
    wanted: str,
    quantization: str,
    numbers: ModelWeights | None = None,
    file: Path | None = None,
    taken: Callable[[float], None] = lambda _: None,
) -> Runner | NativeRunner:
    """The executor of a model, which it owns from here on.

    wanted: auto, native or torch. quantization: none, int8, int4 or gguf. numbers: of a model that has none yet.
    file: the GGUF file that the model is from. taken: hears which share of the weights is laid out.
    Raises: LoadError where what is wanted cannot be had.
    """
    if quantization == "gguf" and file is None:
        raise LoadError("--quantization gguf is for a GGUF file, which this model is not; take int8 or int4")
    numbers, weights = numbers or ModelWeights(), _weights(model, quantization)
    obstacle = "--executor torch" if wanted == "torch" else _obstacle(model, wanted, weights)
    if obstacle is None:
        obstacle = _mismatch(model, numbers, weights)
        if obstacle is None:
            return _native(model, numbers, _mixture(weights, quantization, file), taken)
        logger.warning("the native executor computes something else than torch (%s)", obstacle)
    if weights.quantized or wanted == "native":
        option = f"--quantization {quantization}" if weights.quantized else "--executor native"
        raise LoadError(f"{option} cannot be had: the native executor cannot run this model here: {obstacle}")
    logger.info("executor: torch, because: %s", obstacle)
    numbers.fill()
    return _torch(model)


def _weights(model: Any, quantization: str) -> Weights:
    """What the native executor would keep the weights in."""
    if quantization != "none":
        return _QUANTIZED[quantization]
    return Weights.BFLOAT16 if model.dtype == torch.bfloat16 else Weights.FLOAT32


def _mixture(weights: Weights, quantization: str, file: Path | None) -> Mixture:
    if not weights.quantized or file is None:
        return Mixture(weights)
    return Mixture(weights, tensors(file), as_filed=quantization == "gguf")


def _obstacle(model: Any, wanted: str, weights: Weights) -> str | None:
    """Why the native executor cannot run a model; None where nothing is in its way."""
    if model.device.type != "cpu":
        return f"the model is on {model.device.type}"
    if method := quantized_by(model):
        return f"its weights are quantised by {method}, which transformers computes with"
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


def _mismatch(model: Any, numbers: ModelWeights, weights: Weights) -> str | None:
    """What a trial finds that the native executor computes otherwise; None: nothing."""
    off, most = distance(model, numbers, weights), _TOLERANCES[weights]
    return None if off <= most else f"logits of a trial are off by {off:.2g} of their length, more than {most:g}"


def _native(model: Any, numbers: ModelWeights, mixture: Mixture, taken: Callable[[float], None]) -> NativeRunner:
    if mixture.weights == Weights.INT4_BLOCKS:
        numbers.fill()
        mixture = replace(mixture, importances=_importances(model))
    native = NativeModel(model, numbers.read, weights=mixture)
    native.take_weights(taken)
    logger.info(
        "executor: native, %s kernels, weights in %s, %d MiB, %d threads",
        kernels(), _said(mixture), native.weight_bytes >> 20, torch.get_num_threads(),
    )  # fmt: skip
    return NativeRunner(native)


def _importances(model: Any) -> dict[nn.Linear, Tensor]:
    """What an error of the weights of each input costs. Any tokens will do: which inputs are large is the model's."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    with measured(model) as squares:
        Runner(model).logits([index * vocabulary // _MEASURED for index in range(_MEASURED)])
    return squares


def _said(mixture: Mixture) -> str:
    if mixture.as_filed:
        return "the file's types"
    return mixture.weights.name.lower().partition("_")[0]


def _torch(model: Any) -> Runner:
    if not quantized_by(model):  # such weights only look like those of linear layers
        pack_linears(model)
    try:
        return Runner(model)
    except UnsupportedModelError as error:
        raise LoadError(str(error)) from None
