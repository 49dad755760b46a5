"""A model of our own in C++, made of one that transformers has loaded."""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fastchat_worker.native.adapter import NativeAdapter, Pair
from fastchat_worker.native.description import Description, Part
from fastchat_worker.native.library import Linear, LinearName, NormName, Step, Weights, check, library
from fastchat_worker.native.mixture import Kept, Mixture

Indices = Sequence[int]


class NativeModel:
    """The weights, laid out for the CPU, and how a step is computed.

    read: as Description has it.
    Raises: UndescribedError, LibraryError and MemoryError.
    """

    def __init__(
        self,
        model: Any,
        read: Callable[[Tensor], Tensor] = Tensor.detach,
        *,
        weights: Weights | Mixture = Weights.FLOAT32,
        kernels: str = "",
        threads: int | None = None,
    ) -> None:
        self._description = Description(model, read)
        self._library = library()
        self._mixture = weights if isinstance(weights, Mixture) else Mixture(weights)
        self._shape = self._description.shape(self._mixture.weights)
        handle = self._library.fc_model_new(self._shape, kernels.encode(), threads or torch.get_num_threads())
        if not handle:
            raise MemoryError("the native executor gets no memory or no threads")
        self._handle = ctypes.c_void_p(handle)
        self._embedding: Tensor | None = None
        self.vocabulary: int = self._shape.vocabulary
        self.hidden_size: int = self._shape.hidden
        self.layers: int = self._shape.layers
        self.block_tokens: int = self._library.fc_block_tokens()
        self.block_size: int = self._library.fc_block_size(self._handle)
        """Floats of a block of one layer's cache."""
        self.logits_stride: int = self._library.fc_padded(self.vocabulary)

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            self._library.fc_model_free(handle)

    def take_weights(self, taken: Callable[[float], None] = lambda _: None) -> None:
        """Lays out the weights, and lets go of those of the model that this was made of, layer by layer.

        taken: hears which share of the layers is laid out.
        """
        description, tied = self._description, self._description.tied
        self._set_norm(0, NormName.FINAL, description.final_norm())
        for index in range(self.layers):
            for name, weight in description.norms(index):
                self._set_norm(index, name, weight)
            parts = list(description.linears(index))
            self._set_linears(index, parts, self._mixture.of_layer(index, self.layers, parts, description.read))
            _let_go(part.linear for part in parts)
            taken((index + 1) / self.layers)
        head = description.model.lm_head
        self._set_linears(0, [Part(LinearName.HEAD, head)], [self._mixture.of_head(head.weight, description.read)])
        if not tied:
            self._embedding = description.read(description.embedding).to(torch.float32, copy=True).contiguous()
            self._library.fc_set_embedding(self._handle, self._embedding.data_ptr())
        _let_go([description.model.lm_head, description.model.get_input_embeddings()])
        description.read = Tensor.detach
        self._library.fc_join(self._handle)
        self.settle()

    @property
    def weight_bytes(self) -> int:
        """Of all linear layers and the head, as they are laid out."""
        return int(self._library.fc_weight_bytes(self._handle))

    @property
    def description(self) -> Description:
        """Of the model that this was made of."""
        return self._description

    def adapter(self, layers: Mapping[str, Pair]) -> NativeAdapter:
        """An adapter for `run`; it may be made on any thread."""
        return NativeAdapter(self._handle, self._description, layers)

    def settle(self) -> None:
        """Takes over windows and rotary embeddings, again where those have changed since the weights were taken."""
        for index in range(self.layers):
            check(self._library.fc_set_layer(self._handle, index, self._description.layer_shape(index)))
        for index, (frequencies, scaling) in enumerate(self._description.ropes()):
            values = _float32(frequencies)
            check(self._library.fc_set_rope(self._handle, index, values.data_ptr(), len(values), scaling))

    def run(
        self,
        tokens: Indices,
        positions: Indices,
        slots: Indices,
        sampled: Indices,
        *,
        tables: NDArray[np.int32],
        cache: Tensor,
        blocks: int,
        layer_stride: int,
        logits: Tensor | None = None,
        hidden: Tensor | None = None,
        adapters: Sequence[NativeAdapter | None] = (),
    ) -> None:
        """One step: fills `logits` [sampled, logits_stride], or `hidden` [sampled, hidden] where that is given.

        slots: the sequence of each row. tables: [sequences, blocks], where in the cache the tokens of each sequence
        stand. blocks: that a layer's cache has. layer_stride: floats from one layer to the next one.
        adapters: of each row; empty where no row has one.
        """
        rows = [np.array(values, np.int32) for values in (tokens, positions, slots, sampled)]
        added = np.array([each.address if each else 0 for each in adapters], np.uint64)
        if adapters:  # rows of one adapter come next to each other, so that its weights are read once for all of them
            order = np.argsort(added, kind="stable")
            rows = [*(each[order] for each in rows[:3]), np.argsort(order).astype(np.int32)[rows[3]]]
            added = added[order]
        step = Step(
            rows=len(tokens),
            samples=len(sampled),
            sequences=tables.shape[0],
            table_width=tables.shape[1],
            blocks=blocks,
            tokens=_address(rows[0]),
            positions=_address(rows[1]),
            slots=_address(rows[2]),
            tables=_address(tables),
            sampled=_address(rows[3]),
            cache=cache.data_ptr(),
            layer_stride=layer_stride,
            logits=None if logits is None else logits.data_ptr(),
            hidden=None if hidden is None else hidden.data_ptr(),
            adapters=_address(added) if adapters else None,
        )
        check(self._library.fc_run(self._handle, step))

    def _set_norm(self, layer: int, name: NormName, weight: Tensor) -> None:
        values = _float32(weight)
        check(self._library.fc_set_norm(self._handle, layer, name, values.data_ptr(), len(values)))

    def _set_linears(self, layer: int, parts: Sequence[Part], kept: Sequence[Kept]) -> None:
        for part, each in zip(parts, kept, strict=True):
            check(self._library.fc_set_type(self._handle, layer, part.name, each.weights))
        for part, each in zip(parts, kept, strict=True):
            self._set_linear(layer, part, each)

    def _set_linear(self, layer: int, part: Part, kept: Kept) -> None:
        rows = part.rows or slice(None)
        weight = self._description.read(part.linear.weight)[rows]
        bias = None if part.linear.bias is None else _float32(self._description.read(part.linear.bias)[rows])
        numbers = _float32(weight) if kept.blocks is None else None
        importances = self._mixture.importances.get(part.linear)
        linear = Linear(
            outputs=weight.shape[0],
            inputs=weight.shape[1],
            format=kept.format,
            rows=None if numbers is None else numbers.data_ptr(),
            blocks=None if kept.blocks is None else _address(kept.blocks),
            bias=None if bias is None else bias.data_ptr(),
            importances=None if importances is None else importances.data_ptr(),
        )
        check(self._library.fc_set_linear(self._handle, layer, part.name, linear))


def _float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32).contiguous()


def _address(array: NDArray[Any]) -> int:
    return array.ctypes.data


def _let_go(modules: Any) -> None:
    """Frees what the modules hold."""
    for module in modules:
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(parameter.new_empty(0), requires_grad=False))
