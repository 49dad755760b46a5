"""What transformers does not read in a GGUF file, and what it reads in a fraction of the time."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gguf
import numpy as np
from gguf import quants
from numpy.typing import NDArray
from transformers import modeling_gguf_pytorch_utils as legacy
from transformers.integrations import gguf as integration
from transformers.integrations.gguf import reader
from transformers.quantizers import quantizer_gguf

from fastchat_worker.model.gguf_file import GgufFile, StoredTensor

_NUMBERS = 1 << 16
"""Unpacked at a time."""


@contextmanager
def parsed_once() -> Iterator[None]:
    """While a model is loaded, its file is parsed once, numbers are unpacked in larger parts, names mapped once.

    transformers 5.23 parses the file, vocabulary included, seven times for the tokenizer, the configuration and the
    weights, makes the table of tensor names for every submodule, and unpacks sixteen rows at a time.
    """
    read = functools.cache(GgufFile)

    def metadata(path: str, string_arrays: Sequence[str] = ()) -> tuple[dict[str, Any], tuple[str, ...]]:
        return read(path).metadata(string_arrays), tuple(tensor.name for tensor in read(path).tensors)

    with ExitStack() as changed:
        for module, name, value in (
            (gguf, "GGUFReader", read),
            (gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
            (quants, "_apply_over_grouped_rows", by_rows),
            (legacy, "_gguf_parse_value", _parsed),
            *((module, "read_gguf_metadata", metadata) for module in (integration, reader, quantizer_gguf)),
        ):
            changed.enter_context(patch.object(module, name, value))
        yield


def by_rows(
    func: Callable[[NDArray[Any]], NDArray[Any]], arr: NDArray[Any], otype: Any, oshape: tuple[int, ...]
) -> NDArray[Any]:
    """What `func` makes of all rows, in place of gguf's: so many at a time as fit into a cache."""
    rows = arr.reshape(-1, arr.shape[-1])
    out = np.empty((len(rows), oshape[-1]), otype)
    step = max(_NUMBERS // oshape[-1], 1)
    for first in range(0, len(rows), step):
        out[first : first + step] = func(rows[first : first + step]).reshape(-1, oshape[-1])
    return out.reshape(oshape)


def _parsed(value: Any, _: Any) -> Any:
    return value


def opened(path: Path) -> GgufFile:
    """A file, which is not parsed again. Only while files are `parsed_once`."""
    file: GgufFile = gguf.GGUFReader(str(path))  # called as transformers calls it
    return file


def end_ids(file: GgufFile) -> Sequence[int]:
    """The tokens that a file has for the end of a text, a turn and a message."""
    keys = [f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom")]
    return [int(file.fields[key].contents()) for key in keys if key in file.fields]


def tensors(path: Path) -> dict[str, StoredTensor]:
    """Those of a file by their names; a matrix's `data` are its rows' bytes, as long as the file is there."""
    return {tensor.name: tensor for tensor in GgufFile(str(path)).tensors}
