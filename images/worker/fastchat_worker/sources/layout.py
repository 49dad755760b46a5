"""Which files make a model."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from fastchat_worker.errors import LoadError

_NOT_NEEDED = (
    *("*.md", "*.png", "*.jpg", "*.jpeg", "*.gif", "*.svg", "*.pdf", "*.ipynb", ".git*", "*/.git*", "*.imatrix"),
    *("*.onnx", "*.onnx_data", "onnx/*", "openvino/*", "coreml/*", "*.mlmodel", "*.mlpackage/*", "*.tflite"),
    *("*.h5", "*.msgpack", "*.ot", "*.ckpt*", "*.npz", "*.nemo", "*.mlx", "original/*", "metal/*"),
    *("training_args.bin", "optimizer.*", "scheduler.*", "rng_state*", "trainer_state.json", "*tfevents*"),
    *("checkpoint-*/*", "runs/*", "*.log", "adapter_model.*", "imatrix*", "mmproj*", "*/mmproj*"),
)
"""Other programs' copies of the weights, and what is left of training."""
_SAFE, _PICKLED = "*.safetensors", ("*.bin", "*.pt", "*.pth")
_COPIES = ("consolidated*", "*.fp16.*", "*.fp32.*", "*.bf16.*", "*.non_ema.*")
"""Of the weights beside them, in another layout or type."""
_ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Layout:
    """The files of a model, by their paths below its folder. gguf: the GGUF file; None: transformers' layout."""

    files: frozenset[str]
    gguf: str | None = None


LayoutOf = Callable[..., Layout]
"""`layout_of` or `adapter_layout`: which of a source's files are fetched."""


def layout_of(paths: Iterable[str], source: object, file: str | None = None, *, deep: bool = False) -> Layout:
    """The files that are loaded, of all that a folder has.

    paths: of its files, below it. source: what an error calls it. file: the path of a GGUF file, or which of several it
    is by a part of its name, such as Q4_K_M. deep: GGUF files in folders below count too, as in a repository, which is
    of one model. Raises: LoadError where there is no model, or more than one.
    """
    found = [path for path in paths if not any(fnmatchcase(path, pattern) for pattern in _NOT_NEEDED)]
    names = {path for path in found if "/" not in path}
    if file is None and names & {"config.json", "modules.json"}:
        return Layout(frozenset(_transformers(found, sentences="modules.json" in names)))
    candidates = [path for path in (found if deep else names) if path.endswith(".gguf")]
    gguf = _gguf(candidates, source, file, names)
    return Layout(frozenset([gguf]), gguf)


def adapter_layout(paths: Iterable[str], source: object, file: str | None = None, *, deep: bool = False) -> Layout:  # noqa: ARG001
    """Like `layout_of`, for an adapter in PEFT's layout."""
    names = {path for path in paths if "/" not in path}
    weights = next((name for name in _ADAPTER_WEIGHTS if name in names), None)
    if file is not None:
        raise LoadError(f"{source}: an adapter has no GGUF file here: leave {file} out, and take PEFT's layout")
    if "adapter_config.json" not in names or weights is None:
        raise LoadError(f"{source} holds no adapter in PEFT's layout: adapter_config.json and {_ADAPTER_WEIGHTS[0]}")
    return Layout(frozenset(["adapter_config.json", weights]))


def _transformers(paths: Sequence[str], *, sentences: bool) -> Iterable[str]:
    """All but GGUF files and second copies of weights; folders have weights in models of sentence-transformers only."""
    safe_folders = {_folder(path) for path in paths if _is_weights(path, _SAFE)}
    whole = {_folder(path) for path in paths if PurePosixPath(path).name == "model.safetensors"}
    for path in paths:
        if path.endswith(".gguf") or ("/" in path and not sentences and _is_weights(path, _SAFE, *_PICKLED)):
            continue
        if _folder(path) in safe_folders and _is_superseded(PurePosixPath(path).name, _folder(path) in whole):
            continue
        yield path


def _is_superseded(name: str, whole: bool) -> bool:
    """Whether other weights in the same folder are taken. whole: there is a model.safetensors."""
    if fnmatchcase(name, _SAFE):
        return any(fnmatchcase(name, copy) for copy in _COPIES) or (whole and bool(re.match(r"model-\d+-of-", name)))
    return any(fnmatchcase(name, pattern) for pattern in (*_PICKLED, "*.bin.index.json"))


def _is_weights(path: str, *patterns: str) -> bool:
    name = PurePosixPath(path).name
    return any(fnmatchcase(name, pattern) for pattern in patterns) and not any(
        fnmatchcase(name, copy) for copy in _COPIES
    )


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _gguf(paths: Sequence[str], source: object, file: str | None, names: Iterable[str]) -> str:
    """The one GGUF file that is meant. Raises: LoadError where there is none, or not one."""
    if not paths:
        raise LoadError(_without_gguf(source, file, names))
    wanted = [path for path in paths if file is None or path == file] or [path for path in paths if _has(path, file)]
    models = sorted({_SPLIT.sub("", path) for path in wanted})
    if not models:
        raise LoadError(f"{source} has no GGUF file {file}; it has {', '.join(_choices(paths))}")
    if len(models) > 1:
        raise LoadError(f"{source} holds several GGUF files; name one of {_named(source, _choices(wanted))}")
    refuse_split(source, wanted[0])
    return wanted[0]


def refuse_split(source: object, path: str) -> None:
    """Raises: LoadError for a GGUF file that is one of several of the same model."""
    if split := _SPLIT.search(path):
        raise LoadError(
            f"{source}: {_SPLIT.sub('', path)} is split into {int(split[1])} files, which transformers cannot read: "
            f"merge them by llama-gguf-split --merge {path} MERGED.gguf, or take one that is a single file"
        )


def _without_gguf(source: object, file: str | None, names: Iterable[str]) -> str:
    if file is not None:
        return f"{source} has no GGUF file at all: leave {file} out"
    if "adapter_config.json" in names:
        return (
            f"{source} holds an adapter and no model: merge it into its base, or serve that with --adapter NAME=SOURCE"
        )
    return f"{source} holds no model: neither config.json nor a .gguf file"


def _choices(paths: Sequence[str]) -> list[str]:
    """What can be named: each once, whether it is split or not."""
    return sorted({_SPLIT.sub("-*.gguf", path) for path in paths})


def _named(source: object, choices: Sequence[str]) -> str:
    such_as = f", such as {source}:{choices[0]}" if str(source).startswith("hf://") else ""
    return ", ".join(choices) + such_as


def _has(path: str, part: str | None) -> bool:
    """Whether a name, or that of its folder, has a word such as Q4_K_M in it."""
    return bool(re.search(rf"(^|[-._/]){re.escape(part or '')}([-./]|$)", path, re.IGNORECASE))
