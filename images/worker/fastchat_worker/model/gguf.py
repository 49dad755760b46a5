"""What transformers does not read in a GGUF file, and what it reads in a fraction of the time."""

import functools
import struct
import sys
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

_NUMBERS = 1 << 16
"""Unpacked at a time."""


class Text(bytes):
    """A string of a file, measured as the arrays are that a reader makes of other values."""

    @property
    def nbytes(self) -> int:
        """With its length, which stands before it."""
        return 8 + len(self)

    def tobytes(self) -> bytes:
        return self


class PlainReader(gguf.GGUFReader):  # type: ignore[misc]
    """A reader for which numpy makes neither memmaps of many small slices nor arrays of a vocabulary's strings."""

    @property
    def data(self) -> NDArray[np.uint8]:
        """The file."""
        return self._data

    @data.setter
    def data(self, mapped: NDArray[np.uint8]) -> None:
        self._data = mapped.view(np.ndarray)

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[Any]]:
        kinds = gguf.GGUFValueType
        if raw_type != kinds.ARRAY or self._get(orig_offs, np.uint32)[0] != kinds.STRING:
            return super()._get_field_parts(orig_offs, raw_type)  # type: ignore[no-any-return]
        count = int(self._get(orig_offs + 4, np.uint64)[0])
        texts, size = self._texts(orig_offs + 12, count)
        head = [self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)]
        return 12 + size, [*head, *texts], list(range(2, 2 + count)), [kinds.ARRAY, kinds.STRING][: 1 + bool(count)]

    def _texts(self, begin: int, count: int) -> tuple[list[Text], int]:
        """So many strings, each after its length, and the bytes that they take."""
        rest, at, texts = self._data[begin:].data, 0, []
        length = struct.Struct("<Q" if (self.byte_order == "I") == (sys.byteorder == "little") else ">Q")
        for _ in range(count):
            end = at + 8 + length.unpack_from(rest, at)[0]
            texts.append(Text(rest[at + 8 : end]))
            at = end
        return texts, at


@contextmanager
def parsed_once() -> Iterator[None]:
    """While a model is loaded, its file is parsed once, numbers are unpacked in larger parts, names mapped once.

    transformers 5.23 parses the file, vocabulary included, seven times for the tokenizer, the configuration and the
    weights, makes the table of tensor names for every submodule, and unpacks sixteen rows at a time.
    """
    metadata = functools.cache(reader.read_gguf_metadata)
    with ExitStack() as changed:
        for module, name, value in (
            (gguf, "GGUFReader", functools.cache(PlainReader)),
            (gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
            (quants, "_apply_over_grouped_rows", by_rows),
            (legacy, "_gguf_parse_value", functools.partial(_value, legacy._gguf_parse_value)),
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


def _value(others: Any, part: Any, types: Any) -> Any:
    return part.decode() if isinstance(part, Text) else others(part, types)


def opened(path: Path) -> gguf.GGUFReader:
    """A file, which is not parsed again while it is `parsed_once`."""
    return gguf.GGUFReader(str(path))  # called as transformers calls it


def end_ids(file: gguf.GGUFReader) -> Sequence[int]:
    """The tokens that a file has for the end of a text, a turn and a message."""
    keys = [f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom")]
    return [int(file.fields[key].contents()) for key in keys if key in file.fields]
