"""Models of `hf://org/name`, kept in the hub library's own cache."""

import json
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from huggingface_hub import constants, model_info, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is the HTTP library's, whichever it uses
    GatedRepoError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from fastchat.v1alpha1.source import ModelSource
from fastchat_worker.errors import LoadError
from fastchat_worker.sources.download import Download, disk_refusal, require_room
from fastchat_worker.sources.integrity import Cached, Record, corrupt, discard, named_by_digest
from fastchat_worker.sources.layout import LayoutOf, layout_of
from fastchat_worker.sources.lock import Lock
from fastchat_worker.telemetry.progress import Report

logger = logging.getLogger(__name__)
_PATIENCE = 10  # seconds, for the first response: the library itself would wait for ever
_ABANDONED = 600  # seconds without a byte
constants.DOWNLOAD_CHUNK_SIZE = (
    1 << 20
)  # bytes after which it tells of them; its own are 10 MiB, a minute of a slow line


@dataclass(frozen=True)
class _Files:
    """What is wanted of a repository on the hub; `names` are paths below it."""

    source: ModelSource
    names: frozenset[str]

    def snapshot(self, **options: Any) -> Any:
        """The folder that has them, once they are here; with dry_run=True what the library would do."""
        patterns = [escape(name) for name in sorted(self.names)] or [":"]  # which no path is
        return snapshot_download(self.source.root, revision=self.source.revision, allow_patterns=patterns, **options)

    def fetch(self, **options: Any) -> Cached:
        return _cached(Path(self.snapshot(**options)), self.names)


def fetch(source: ModelSource, report: Report, layout: LayoutOf = layout_of) -> Cached:
    """A model's files as the hub has them; where it cannot be reached, as they were last downloaded.

    Raises: LoadError, which says what to change.
    """
    name = source.text.removeprefix("hf://")
    try:
        return _fetch(source, name, report, layout)
    except GatedRepoError:
        raise LoadError(f"{name} asks for its licence to be accepted: set HF_TOKEN of an account that did") from None
    except RepositoryNotFoundError:
        raise LoadError(
            f"the hub has no model {source.root}, or it is private: check the name or set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise LoadError(f"{source.root} has no revision {source.revision}") from None
    except (HTTPError, OSError, RuntimeError) as error:  # the last is hf_xet's, whatever went wrong
        raise disk_refusal(error, Path(constants.HF_HUB_CACHE), 0, name, "HF_HOME") or LoadError(
            f"cannot download {name}: {_reason(error)}; check the network, HF_ENDPOINT and the disk"
        ) from error


def _fetch(source: ModelSource, name: str, report: Report, layout: LayoutOf) -> Cached:
    report(f"looking for {name}")
    try:
        info = model_info(source.root, revision=source.revision or constants.DEFAULT_REVISION, timeout=_PATIENCE)
    except RevisionNotFoundError:
        raise
    except (HTTPError, OfflineModeIsEnabled) as error:
        return _last_downloaded(source, error, report, layout)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    files = _Files(source, layout(names, source, source.file, deep=True).files)
    if not any(file.will_download for file in files.snapshot(dry_run=True)):
        cached = files.fetch()
        if not cached.broken(report):
            return cached
    cache = Path(constants.HF_HUB_CACHE)
    (cache / ".locks").mkdir(parents=True, exist_ok=True)
    folder = "models--" + source.root.replace("/", "--")
    lock = Lock(cache / ".locks" / f"fastchat-{folder}.lock")
    lock.wait(lock.take, report)
    try:
        _remove_abandoned(cache / folder / "blobs")
        return _verified(files, name, cache, lock.publishing(report))
    finally:
        lock.release()


def _verified(files: _Files, name: str, cache: Path, report: Report) -> Cached:
    """Downloads missing files, and once more those that are broken. Raises: LoadError where they still are."""
    cached = _download(files, name, cache, report)
    if broken := cached.broken(report):
        discard(broken)
        cached = _download(files, name, cache, report)
    if broken := cached.broken(report):
        discard(broken)
        raise LoadError(
            f"{corrupt(broken)}, freshly downloaded too: check that disk and memory, and what HF_ENDPOINT serves"
        )
    return cached


def _download(wanted: _Files, name: str, cache: Path, report: Report) -> Cached:
    files = wanted.snapshot(dry_run=True)  # again: another worker may have fetched them meanwhile
    total = sum(file.file_size or 0 for file in files)
    need = sum(file.file_size or 0 for file in files if file.will_download)
    require_room(cache, need, name, "HF_HOME")
    if not need:
        return wanted.fetch()
    with Download(name, total, total - need, report) as download:
        try:
            return wanted.fetch(tqdm_class=_counter(download))
        except (OSError, RuntimeError) as error:
            missing = sum(file.file_size or 0 for file in files if not Path(file.local_path).exists())
            if refusal := disk_refusal(error, cache, missing, name, "HF_HOME"):
                raise refusal from error
            raise


def _last_downloaded(source: ModelSource, error: Exception, report: Report, layout: LayoutOf) -> Cached:
    """What an earlier start downloaded, where the hub cannot be reached. Raises: the error where there is nothing."""
    try:
        folder = _Files(source, frozenset()).fetch(local_files_only=True).folder
        files = _Files(source, layout(_names(folder), source, source.file, deep=True).files)
        cached = files.fetch(local_files_only=True)
    except LocalEntryNotFoundError:
        raise error from None
    if broken := cached.broken(report):
        discard(broken)
        raise LoadError(
            f"{corrupt(broken)} and is fetched again as soon as the hub tells about {source.root} ({_reason(error)})"
        )
    logger.warning("the hub does not tell what %s has (%s); serving what the cache has", source.root, _reason(error))
    return cached


def _cached(folder: Path, names: Iterable[str]) -> Cached:
    """Files of a snapshot, a folder of links to files that are named by their digests.

    On a volume without links the folder has the files themselves, of which no digest is known.
    """
    paths = {name: folder / name for name in sorted(names)}
    files = [
        named_by_digest(path.readlink().name if path.is_symlink() else f"{folder.name}/{name}", path)
        for name, path in paths.items()
    ]
    return Cached(folder, files, Record(folder.parents[1] / "fastchat-checked.json"))


def _names(folder: Path) -> Iterable[str]:
    """What a snapshot's repository has, as the library keeps it; where it does not, what the snapshot itself has."""
    try:
        listed: dict[str, Any] = json.loads((folder.parents[1] / "trees" / f"{folder.name}.json").read_bytes())["files"]
    except (OSError, ValueError, LookupError):
        return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return listed


def _reason(error: Exception) -> str:
    return (str(error.__cause__ or error) or type(error).__name__).partition("\n")[0]


def _counter(download: Download) -> type[Any]:
    """A progress bar that counts for us and draws nothing."""

    class Counter(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # The library has three bars: files, bytes that came over the network, bytes that are on the disk.
            self._counts = kwargs.get("name") == "huggingface_hub.snapshot_download"
            super().__init__(*args, **kwargs | {"disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            if self._counts:
                download.add(int(n or 0))

    return Counter


def _remove_abandoned(blobs: Path) -> None:
    """Deletes the half files of workers that were killed: the library begins anew and never deletes them."""
    for path in blobs.glob("*.incomplete"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()
