"""What transformers does not read in a GGUF file, and what it reads in a fraction of the time."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray


class PlainReader(gguf.GGUFReader):  # type: ignore[misc]
    """A reader whose many small slices are plain arrays: numpy spends most of the parsing on making memmaps of them."""

    @property
    def data(self) -> NDArray[np.uint8]:
        """The file."""
        return self._data

    @data.setter
    def data(self, mapped: NDArray[np.uint8]) -> None:
        self._data = mapped.view(np.ndarray)


@contextmanager
def parsed_once() -> Iterator[None]:
    """While a model is loaded, its file is parsed once and the table of tensor names is made once.

    transformers 5.23 parses the file, vocabulary included, for the tokenizer, the configuration and the weights, and
    makes the table for every submodule: 13.5 s of CPU time for SmolLM2-135M, where this takes 2.3 s.
    """
    originals: dict[str, Any] = {"GGUFReader": gguf.GGUFReader, "get_tensor_name_map": gguf.get_tensor_name_map}
    gguf.GGUFReader = functools.cache(PlainReader)
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(gguf, name, original)


def opened(path: Path) -> gguf.GGUFReader:
    """A file, which is not parsed again while it is `parsed_once`."""
    return gguf.GGUFReader(str(path))  # called as transformers calls it


def end_ids(file: gguf.GGUFReader) -> Sequence[int]:
    """The tokens that a file has for the end of a text, a turn and a message."""
    keys = [f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom")]
    return [int(file.fields[key].contents()) for key in keys if key in file.fields]
