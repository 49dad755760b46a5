"""Whether the native executor computes what transformers does, tried on a few of a model's layers and tokens.

Layers of one kind are computed by the same code: all of them would tell little more and take seconds.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from fastchat_worker.engine.native_runner import NativeRunner
from fastchat_worker.engine.runner import Runner
from fastchat_worker.model.unread.model import empty_model
from fastchat_worker.model.unread.weights import ModelWeights
from fastchat_worker.native.description import Description
from fastchat_worker.native.library import Weights
from fastchat_worker.native.model import NativeModel

_TOKENS = 16  # from all over the vocabulary


def distance(model: Any, numbers: ModelWeights, weights: Weights) -> float:
    """How far the native executor's logits are from those of transformers, as a share of their length.

    weights: what the native executor keeps them in. The model stays as it is.
    Raises: what `Runner` and `NativeModel` raise.
    """
    part = excerpt(model, numbers)
    text = range(part.config.vocab_size)
    with _one_thread():
        expected = Runner(part).logits(text)
        native = NativeModel(part, weights=weights)
        native.take_weights()
        found = NativeRunner(native).logits(text)
    return float((found - expected).norm() / expected.norm())


@contextmanager
def _one_thread() -> Iterator[None]:
    """For steps so small that threads would spend more time waiting for each other than computing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def excerpt(model: Any, numbers: ModelWeights) -> Any:
    """A model with weights of its own or the other's: the first layer of each kind, the last layer, a few tokens."""
    layers = _layers(Description(model))
    vocabulary = model.get_input_embeddings().weight.shape[0]
    count = min(vocabulary, _TOKENS)
    part = empty_model(type(model)._from_config, _config(model.config, layers, count), model.dtype)
    part.model.rotary_emb = model.model.rotary_emb
    tokens = [index * vocabulary // count for index in range(count)]
    whole = dict(model.named_parameters())
    for name, parameter in part.named_parameters():
        original = whole[_name(name, layers)]
        same = parameter.shape == original.shape
        parameter.data = numbers.read(original) if same else numbers.rows(original, tokens)
    return part


def _layers(described: Description) -> Sequence[int]:
    count = described.config.num_hidden_layers
    kinds = [_kind(described, index) for index in range(count)]
    return sorted({*map(kinds.index, kinds), count - 1})


def _kind(described: Description, index: int) -> tuple[Any, ...]:
    """What a layer may differ in from others."""
    shape = described.layer_shape(index)
    return (shape.window, shape.rope, shape.scaling, shape.softcap, *_of_layer(described.config, index))


def _of_layer(config: Any, index: int) -> Iterator[Any]:
    """What a configuration has for each layer."""
    for _, values in _lists(config):
        yield values[index]


def _config(config: Any, layers: Sequence[int], vocabulary: int) -> Any:
    changed = copy.deepcopy(config)
    for name, values in _lists(config):
        setattr(changed, name, [values[layer] for layer in layers])
    changed.num_hidden_layers, changed.vocab_size, changed.pad_token_id = len(layers), vocabulary, None
    return changed


def _lists(config: Any) -> Iterator[tuple[str, list[Any]]]:
    count = config.num_hidden_layers
    for name in ("layer_types", "no_rope_layers"):
        values = getattr(config, name, None)
        if isinstance(values, list) and len(values) == count:
            yield name, values


def _name(name: str, layers: Sequence[int]) -> str:
    """What a parameter of the excerpt is called in the model."""
    if not name.startswith("model.layers."):
        return name
    index, rest = name.removeprefix("model.layers.").split(".", 1)
    return f"model.layers.{layers[int(index)]}.{rest}"
