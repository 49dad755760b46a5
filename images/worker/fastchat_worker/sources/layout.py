"""Which files make a model."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from fastchat_worker.errors import LoadError

NOT_NEEDED = ["*.onnx", "onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "original/*", "*.md", "*.png", "*.jpg"]


def needed(path: str) -> bool:
    """Whether a file, named by its path below the model's folder, is worth a download."""
    return not any(fnmatchcase(path, pattern) for pattern in NOT_NEEDED)


def gguf_of(paths: Iterable[str], folder: object) -> str | None:
    """The GGUF file of a folder, None where it is in transformers' layout; LoadError where it is neither.

    paths: of its files, below it. folder: what the error calls it.
    """
    names = {path for path in paths if "/" not in path}
    if names & {"config.json", "modules.json"}:
        return None
    files = sorted(name for name in names if name.endswith(".gguf"))
    if not files:
        raise LoadError(f"{folder} holds no model: neither config.json nor a .gguf file")
    if len(files) > 1:
        raise LoadError(f"{folder} holds several GGUF files; name one of {', '.join(files)}")
    return files[0]
