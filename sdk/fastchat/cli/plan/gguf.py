"""The head of a GGUF file: what it says of a model before its tensors.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import math
import struct
from collections.abc import Callable
from typing import Any

from fastchat.cli.errors import CommandError
from fastchat.cli.plan.model import Model

_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_FIRST, _MOST = 2**20, 2**27
"""Bytes of a file that are read at first and at most: its vocabulary is in its head."""
_NO_WEIGHTS = ("rope_freqs", "rope_factors")


class _IncompleteError(Exception):
    """The head is longer than what was read."""


def read(beginning: Callable[[int], bytes], name: str) -> Model:
    """The model of a file, of which `beginning` gives so many bytes.

    Raises:
        CommandError: it is no GGUF file, or none of a language model.
    """
    size = _FIRST
    while True:
        data = beginning(size)
        try:
            return _model(*_Head(data).read(), name)
        except _IncompleteError:
            if len(data) < size or size >= _MOST:
                raise CommandError(f"{name} is no GGUF file, or not all of one") from None
            size *= 4


class _Head:
    """Reads a head value by value; raises _IncompleteError where the bytes end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self) -> tuple[dict[str, Any], dict[str, int]]:
        """Values by key (of arrays their lengths), and how many numbers each tensor has."""
        if self._take("4s")[0] != b"GGUF" or self._take("I")[0] not in (2, 3):
            raise _IncompleteError
        tensors, values = self._take("QQ")
        said = {self._text(): self._value(self._take("I")[0]) for _ in range(values)}
        return said, dict(self._tensor() for _ in range(tensors))

    def _take(self, form: str) -> tuple[Any, ...]:
        try:
            found = struct.unpack_from(f"<{form}", self._data, self._at)
        except struct.error:
            raise _IncompleteError from None
        self._at += struct.calcsize(f"<{form}")
        return found

    def _text(self) -> str:
        (length,) = self._take("Q")
        self._at += length
        if self._at > len(self._data):
            raise _IncompleteError
        return self._data[self._at - length : self._at].decode(errors="replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._take(self._form(kind))[0]
        of, count = self._take("IQ")
        if of in (_STRING, _ARRAY):
            for _ in range(count):
                self._value(of)
        else:
            self._at += count * struct.calcsize(f"<{self._form(of)}")
        return count

    def _form(self, kind: int) -> str:
        if kind not in _FORMATS:
            raise _IncompleteError
        return _FORMATS[kind]

    def _tensor(self) -> tuple[str, int]:
        name = self._text()
        (dimensions,) = self._take("I")
        if dimensions > 8:
            raise _IncompleteError
        shape = self._take(f"{dimensions}Q")
        self._take("IQ")
        return name, math.prod(shape)


def _model(said: dict[str, Any], tensors: dict[str, int], name: str) -> Model:
    kind = said.get("general.architecture")

    def number(key: str, default: int | None = None) -> int:
        value = said.get(f"{kind}.{key}", default)
        if not isinstance(value, int) or value < 1:
            raise CommandError(f"{name} does not say its {key}, so it is no language model's")
        return value

    heads, width = number("attention.head_count"), number("embedding_length")
    size = width // heads
    return Model(
        architecture=str(kind),
        parameters=sum(count for tensor, count in tensors.items() if not tensor.startswith(_NO_WEIGHTS)),
        layers=number("block_count"),
        key_heads=number("attention.head_count_kv", heads),
        key_size=number("attention.key_length", size),
        value_size=number("attention.value_length", size),
        context=number("context_length"),
        dtype="float32",
    )
