"""A GGUF file: what it says of a model, and where its tensors stand.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. gguf's own reader makes several arrays of numpy
for each token of a vocabulary, which takes seconds.
"""

import math
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, quant_shape_to_byte_shape
from numpy.typing import NDArray

_VERSIONS = (2, 3)
_ALIGNMENT = 32  # bytes, where a file states no other
_FORMATS = {
    GGUFValueType.UINT8: "B",
    GGUFValueType.INT8: "b",
    GGUFValueType.BOOL: "?",
    GGUFValueType.UINT16: "H",
    GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I",
    GGUFValueType.INT32: "i",
    GGUFValueType.FLOAT32: "f",
    GGUFValueType.UINT64: "Q",
    GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT64: "d",
}
_PLAIN = {
    GGMLQuantizationType.F16: np.float16,
    GGMLQuantizationType.F32: np.float32,
    GGMLQuantizationType.F64: np.float64,
    GGMLQuantizationType.I8: np.int8,
    GGMLQuantizationType.I16: np.int16,
    GGMLQuantizationType.I32: np.int32,
    GGMLQuantizationType.I64: np.int64,
}
"""Types of tensors whose numbers are as numpy has them."""


@dataclass(frozen=True)
class Field:
    """A value that a file states. `types`: that of the value; of an array that of its values as well."""

    types: Sequence[GGUFValueType]
    value: Any

    data = (0,)
    """Where in `parts` transformers finds what it parses: the value, which is parsed already."""

    @property
    def parts(self) -> Sequence[Any]:
        return (self.value,)

    def contents(self) -> Any:
        """A string, a number, or a list of them."""
        return self.value


@dataclass(frozen=True)
class StoredTensor:
    """One of a file's tensors: `shape` with the innermost dimension first, `data` with the outermost first.

    Where numbers are packed, `data` is of bytes.
    """

    name: str
    tensor_type: GGMLQuantizationType
    shape: Sequence[int]
    data: NDArray[Any]


class GgufFile:
    """What gguf's reader has of a file, as far as it is needed. The file stays mapped.

    Raises: ValueError where it is no GGUF file, or broken.
    """

    def __init__(self, path: str) -> None:
        with Path(path).open("rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._read(path)
        except (struct.error, LookupError, ArithmeticError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is broken: {error}") from None

    def metadata(self, whole: Sequence[str] = ()) -> dict[str, Any]:
        """Values by key; of arrays of strings only how many they have, but for those that are wanted whole."""
        return {
            key: len(field.value) if _has_strings(field) and key not in whole else field.value
            for key, field in self.fields.items()
        }

    def _read(self, path: str) -> None:
        if self._mapped[:4] != b"GGUF":
            raise ValueError(f"{path} does not begin with GGUF, so it is no GGUF file")
        version, tensors, values = struct.unpack_from("<IQQ", self._mapped, 4)
        if version not in _VERSIONS:
            raise ValueError(f"{path} is in version {version} of GGUF, where 2 and 3 are known here")
        self._at = 24
        self.fields: dict[str, Field] = {}
        for _ in range(values):
            key = self._text()
            self.fields[key] = self._field()
        if "general.architecture" not in self.fields:
            raise ValueError(f"{path} does not say of which architecture it is (general.architecture)")
        described = [self._describe() for _ in range(tensors)]
        step = self.fields["general.alignment"].value if "general.alignment" in self.fields else _ALIGNMENT
        begin = -(-self._at // step) * step
        self.tensors = [self._tensor(begin, *each) for each in described]

    def _field(self) -> Field:
        kind = GGUFValueType(self._take("I")[0])
        if kind != GGUFValueType.ARRAY:
            return Field((kind,), self._text() if kind == GGUFValueType.STRING else self._take(_FORMATS[kind])[0])
        each, count = self._take("IQ")
        of = GGUFValueType(each)
        if of == GGUFValueType.STRING:
            return Field((kind, of), self._texts(count))
        return Field((kind, of), list(self._take(f"{count}{_FORMATS[of]}")))

    def _take(self, kinds: str) -> tuple[Any, ...]:
        """The next numbers."""
        form = struct.Struct(f"<{kinds}")
        values = form.unpack_from(self._mapped, self._at)
        self._at += form.size
        return values

    def _text(self) -> str:
        return self._texts(1)[0]

    def _texts(self, count: int) -> list[str]:
        mapped, at, length, texts = self._mapped, self._at, struct.Struct("<Q").unpack_from, []
        for _ in range(count):
            end = at + 8 + length(mapped, at)[0]
            texts.append(mapped[at + 8 : end].decode())
            at = end
        self._at = at
        return texts

    def _describe(self) -> tuple[str, Sequence[int], int, int]:
        """Name, dimensions, type and place of the next tensor."""
        name, dimensions = self._text(), self._take("I")[0]
        return (name, self._take(f"{dimensions}Q"), *self._take("IQ"))

    def _tensor(self, begin: int, name: str, shape: Sequence[int], kind: int, offset: int) -> StoredTensor:
        of_kind = GGMLQuantizationType(kind)
        block, size = GGML_QUANT_SIZES[of_kind]
        count, dtype = math.prod(shape), _PLAIN.get(of_kind, np.uint8)
        stored = np.frombuffer(self._mapped, np.uint8, count // block * size, begin + offset)
        outer = tuple(reversed(shape))
        rows = outer if of_kind in _PLAIN else quant_shape_to_byte_shape(outer, of_kind)
        return StoredTensor(name, of_kind, shape, stored.view(dtype).reshape(rows))


def _has_strings(field: Field) -> bool:
    return tuple(field.types) == (GGUFValueType.ARRAY, GGUFValueType.STRING)
