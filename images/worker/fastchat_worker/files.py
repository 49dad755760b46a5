"""Finds a model's files, fetching them from the hub where they are not here yet."""

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.auto import tqdm

from fastchat.source import ModelSource
from fastchat_worker.errors import LoadError

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_NOT_NEEDED = ["*.onnx", "onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "original/*", "*.md", "*.png", "*.jpg"]


@dataclass(frozen=True)
class ModelFiles:
    """A folder in transformers' layout, or a GGUF file in it."""

    folder: Path
    gguf: str | None = None

    @property
    def kwargs(self) -> dict[str, str]:
        """What `from_pretrained` takes beside the folder."""
        return {"gguf_file": self.gguf} if self.gguf else {}


def locate(model_path: str, report: Callable[[str], None]) -> ModelFiles:
    """The files behind `--model-path`; LoadError says what is wrong with it. `report` hears how a download goes."""
    if "://" in model_path:
        try:
            source = ModelSource.parse(model_path)
        except ValueError as wrong:
            raise LoadError(f"--model-path {model_path}: {wrong}") from None
        return _inspect(_fetch(source, report))
    path = Path(model_path).expanduser()
    if path.exists() or not _HUB_NAME.fullmatch(model_path):
        return _inspect(path)
    return _inspect(_fetch(ModelSource.parse("hf://" + model_path), report))


def _fetch(source: ModelSource, report: Callable[[str], None]) -> Path:
    match source.scheme:
        case "file":
            return Path(source.path)
        case "package":
            return _package_folder(source.root) / source.path
        case "hf":
            return _download(source, report)
        case _:
            raise LoadError(
                f"{source}: a worker reads hf://, file:// and package://; mount {source.scheme}:// as a file"
            )


def _package_folder(name: str) -> Path:
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise LoadError(f"the Python package {name} is not installed: pip install {name.replace('_', '-')}")
    return Path(next(iter(spec.submodule_search_locations)))


def _download(source: ModelSource, report: Callable[[str], None]) -> Path:
    name = f"{source.root}@{source.revision}" if source.revision else source.root
    report(f"downloading {name}")
    try:
        folder = snapshot_download(
            source.root,
            revision=source.revision,
            ignore_patterns=_NOT_NEEDED,
            tqdm_class=_progress(name, report),
        )
    except GatedRepoError:
        raise LoadError(f"{name} asks for its licence to be accepted: set HF_TOKEN of an account that did") from None
    except RepositoryNotFoundError:
        raise LoadError(
            f"the hub has no model {source.root}, or it is private: check the name or set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise LoadError(f"{source.root} has no revision {source.revision}") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise LoadError(f"cannot download {name}: {reason}; check the network, HF_ENDPOINT and the disk") from error
    return Path(folder)


def _progress(name: str, report: Callable[[str], None]) -> type[Any]:
    """A progress bar that reports gigabytes instead of drawing."""

    class Reported(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})
            self.is_bytes = kwargs.get("unit") == "B"
            self.total, self.n = kwargs.get("total") or 0, kwargs.get("initial") or 0

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0  # a disabled bar does not count
            if self.is_bytes:
                report(f"downloading {name}: {self.n / 1e9:.2f} of {self.total / 1e9:.2f} GB")

    return Reported


def _inspect(path: Path) -> ModelFiles:
    """Tells a folder of weights from a GGUF file."""
    if not path.exists():
        raise LoadError(
            f"there is no {path}: --model-path takes a folder, a GGUF file, a source or org/name on the hub"
        )
    if path.is_file():
        if path.suffix != ".gguf":
            raise LoadError(f"{path} is no model: a single file must be a .gguf")
        return ModelFiles(path.parent, path.name)
    if (path / "config.json").exists() or (path / "modules.json").exists():
        return ModelFiles(path)
    files = sorted(file.name for file in path.glob("*.gguf"))
    if len(files) == 1:
        return ModelFiles(path, files[0])
    if files:
        raise LoadError(f"{path} holds several GGUF files; name one of {', '.join(files)}")
    raise LoadError(f"{path} holds no model: neither config.json nor a .gguf file")
