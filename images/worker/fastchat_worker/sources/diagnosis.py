"""Which file of a model cannot be parsed: the libraries' errors do not name it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
from safetensors import SafetensorError, safe_open


def unreadable(folder: Path) -> str | None:
    """The first file of a model that cannot be parsed, and why; None where all can."""
    for path in sorted(folder.rglob("*")):
        parse = _PARSERS.get(path.suffix)
        try:
            if parse:
                parse(path)
        except (OSError, ValueError, LookupError, ArithmeticError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return f"{path.relative_to(folder)} cannot be read ({reason.partition(chr(10))[0]})"
    return None


def _safetensors(path: Path) -> None:
    with safe_open(path, "pt"):
        pass


_PARSERS: Mapping[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".safetensors": _safetensors,
    ".gguf": gguf.GGUFReader,
}
