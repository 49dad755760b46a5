"""One state of a prefix in S3, on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from fastchat_worker.bucket import Bucket, Object
from fastchat_worker.download import Download, require_room
from fastchat_worker.lock import Lock

_PART = 64 << 20  # bytes
_STREAMS = 16


@dataclass(frozen=True)
class Part:
    """Bytes of a file that are fetched in one go; `marked` is its place in the record of what is here."""

    marked: int
    item: Object
    start: int
    end: int


class Snapshot:
    """A folder with

    files: all files, once they are complete
    partial: those that are here, before that
    parts: one byte for each part, 1 when it is in `partial`
    listing: what S3 said of the files
    lock: exclusively held by the worker that downloads or removes, shared by those that read
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self._partial = folder / "partial"
        self._parts = folder / "parts"
        self._listing = folder / "listing"

    @property
    def complete(self) -> bool:
        return self.files.is_dir()

    @property
    def confirmed(self) -> float:
        """When it was last seen to be what S3 has."""
        return (self.folder / "lock").stat().st_mtime

    def confirm(self) -> None:
        with suppress(OSError):  # a volume mounted read-only
            os.utime(self.folder / "lock")

    def hold(self, fetch: Callable[[Lock], None], report: Callable[[str], None]) -> None:
        """Makes it complete, and keeps it from being removed until this process ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.folder / "lock")
        try:
            while not (self.complete and lock.take(shared=True) and self.complete):
                lock.wait(lambda: lock.take(shared=self.complete), report)
                if not self.complete:
                    fetch(lock)
        except BaseException:
            lock.free()
            raise

    def download(self, bucket: Bucket, items: Sequence[Object], name: str, report: Callable[[str], None]) -> None:
        """Fetches what is missing."""
        self._partial.mkdir(exist_ok=True)
        self._parts.touch()
        self._listing.write_text(_listing(items))
        parts = split(items)
        self._reuse(parts)
        missing = self._missing(parts)
        need, total = sum(part.end - part.start for part in missing), sum(item.size for item in items)
        self._make_room(need, name)
        with Download(name, total, total - need, report) as download:

            def fetch(part: Part) -> None:
                self._fetch(part, bucket, download)
                self._mark(part)

            _in_parallel(fetch, missing)
        self._partial.rename(self.files)
        self._parts.unlink()

    def remove(self) -> None:
        """Frees the disk, unless a worker uses it; one that is half removed does not look complete."""
        lock = Lock(self.folder / "lock")
        if lock.take() and lock.works:
            self._parts.unlink(missing_ok=True)
            shutil.rmtree(self._partial, ignore_errors=True)
            if self.complete:
                self.files.rename(self._partial)
                shutil.rmtree(self._partial)
        lock.free()

    def others(self) -> "list[Snapshot]":
        """Those of other states of the same prefix."""
        return [other for other in snapshots(self.folder.parent) if other.folder != self.folder]

    def _reuse(self, parts: Sequence[Part]) -> None:
        """Links to files that another state has and that have not changed since; where links cannot be, it does not."""
        for other in filter(lambda other: other.complete, self.others()):
            with suppress(OSError, ValueError):
                known = {Object(*item) for item in json.loads(other._listing.read_text())}
                for part in self._missing(parts):
                    if part.item in known:
                        self._link(other.files / part.item.path, part)

    def _link(self, file: Path, part: Part) -> None:
        path = self._partial / part.item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or not path.samefile(file):
            path.unlink(missing_ok=True)
            path.hardlink_to(file)
        self._mark(part)

    def _mark(self, part: Part) -> None:
        with self._parts.open("r+b", 0) as record:
            os.pwrite(record.fileno(), b"\1", part.marked)

    def _missing(self, parts: Sequence[Part]) -> list[Part]:
        marks = self._parts.read_bytes()
        return [part for part in parts if marks[part.marked : part.marked + 1] != b"\1" or self._size(part) < part.end]

    def _size(self, part: Part) -> int:
        path = self._partial / part.item.path
        return path.stat().st_size if path.exists() else -1

    def _make_room(self, need: int, name: str) -> None:
        for other in self.others():
            if shutil.disk_usage(self.folder).free < need:
                other.remove()
        require_room(self.folder, need, name, "--cache-dir")

    def _fetch(self, part: Part, bucket: Bucket, download: Download) -> None:
        path = self._partial / part.item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b") as file:
            file.seek(part.start)
            for piece in bucket.read(part.item, part.start, part.end):
                file.write(piece)
                download.add(len(piece))
            file.flush()
            os.fsync(file.fileno())  # or a machine that loses power would remember a part that it lost


def snapshot_of(items: Sequence[Object], home: Path) -> Snapshot:
    """Where exactly these objects, in this state, are kept."""
    state = f"{_listing(items)} {_PART}"
    return Snapshot(home / f"@{hashlib.sha256(state.encode()).hexdigest()[:16]}")


def _listing(items: Sequence[Object]) -> str:
    return json.dumps([astuple(item) for item in items])


def snapshots(home: Path) -> list[Snapshot]:
    return [Snapshot(folder) for folder in home.glob("@*") if (folder / "lock").exists()]


def split(items: Sequence[Object]) -> list[Part]:
    """All bytes of all files, each file at least one part."""
    bounds = [(item, start) for item in items for start in range(0, item.size or 1, _PART)]
    return [Part(place, item, start, min(start + _PART, item.size)) for place, (item, start) in enumerate(bounds)]


def _in_parallel(fetch: Callable[[Part], None], parts: Sequence[Part]) -> None:
    pool = ThreadPoolExecutor(_STREAMS, thread_name_prefix="download")
    try:
        for done in as_completed([pool.submit(fetch, part) for part in parts]):
            done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
