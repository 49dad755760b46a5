"""Which file of a model cannot be parsed: the libraries' errors do not name it."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from zipfile import is_zipfile

import gguf
from safetensors import SafetensorError, safe_open
from sentencepiece import SentencePieceProcessor

_POINTER = b"version https://git-lfs.github.com/spec/"
_OTHER = re.compile(
    r"WeightsUnpickler error:\s*(?:Unsupported global: GLOBAL )?(.+?)(?: was not an allowed.*)?$", re.MULTILINE
)


def unreadable(folder: Path) -> str | None:
    """The first file of a model that cannot be parsed, why, and what to do; None where all can."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, parse = path.relative_to(folder), _parser(path)
        try:
            if _is_pointer(path):
                return f"{name} is a Git LFS pointer in place of the file: run `git lfs pull` where it comes from"
            if parse:
                parse(path)
        except UnpicklingError as error:
            if other := _OTHER.search(str(error)):
                return f"{name} has more in it than tensors ({other[1]}), which is not run: take safetensors"
            return _cannot_be_read(name, error)
        except (OSError, ValueError, LookupError, ArithmeticError, RuntimeError, SafetensorError) as error:
            return _cannot_be_read(name, error)
    return None


def _cannot_be_read(name: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{name} cannot be read ({reason.partition(chr(10))[0]}); it is so where it comes from: make or copy it anew"


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _parser(path: Path) -> Callable[[Path], object] | None:
    if path.suffix == ".bin":  # of others, such as training_args.bin, nothing is loaded
        return _pickle if path.name.startswith(("pytorch_model", "model", "adapter_model")) else None
    return _PARSERS.get(path.suffix)


def _pickle(path: Path) -> None:
    """Reads a file of torch.save, without its tensors where it is an archive."""
    import torch  # takes a second, and only such a file needs it

    torch.load(path, map_location="meta", weights_only=True, mmap=is_zipfile(path))


def _vocabulary(path: Path) -> None:
    """Reads a tokenizer.model: sentencepiece's, or tiktoken's lines of a token in base64 and its rank."""
    try:
        SentencePieceProcessor(model_file=str(path))
    except RuntimeError:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if len(line.split()) not in (0, 2):
                raise ValueError(f"neither sentencepiece's nor tiktoken's, as line {number} shows") from None


def _safetensors(path: Path) -> None:
    with safe_open(path, "pt"):
        pass


_PARSERS: Mapping[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".safetensors": _safetensors,
    ".gguf": gguf.GGUFReader,
    ".model": _vocabulary,
}
