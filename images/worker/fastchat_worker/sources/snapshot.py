"""One state of a prefix in S3, on disk."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from fastchat_worker.errors import LoadError
from fastchat_worker.sources.bucket import Bucket, Object
from fastchat_worker.sources.download import Download, disk_refusal, require_room
from fastchat_worker.sources.integrity import Cached, File, Record
from fastchat_worker.sources.lock import Lock
from fastchat_worker.sources.parts import PART, Marks, Part, by_file, split
from fastchat_worker.telemetry.progress import Report

logger = logging.getLogger(__name__)
_STREAMS = 16
_Work = TypeVar("_Work")


class Snapshot:
    """A folder with

    files: all files, once it is complete
    partial: the files before that
    parts: Marks
    checked: Record
    listing: the files as S3 listed them
    lock: held exclusively by a worker that downloads or removes, shared by those that read
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self._partial = folder / "partial"
        self._marks = Marks(folder / "parts")
        self._record = Record(folder / "checked")
        self._listing = folder / "listing"

    @property
    def complete(self) -> bool:
        return self.files.is_dir()

    @property
    def confirmed(self) -> float:
        """When its listing was last compared with S3's, in seconds since 1970."""
        return (self.folder / "lock").stat().st_mtime

    @property
    def items(self) -> list[Object]:
        """The files as S3 listed them; empty where the listing cannot be read."""
        try:
            return [Object(*item) for item in json.loads(self._listing.read_bytes())]
        except (OSError, ValueError, TypeError):
            return []

    def confirm(self) -> None:
        """Notes that S3 lists these files now."""
        with suppress(OSError):  # a volume mounted read-only
            os.utime(self.folder / "lock")

    def hold(self, fetch: Callable[[Lock], None], report: Report) -> None:
        """Returns once it is complete and locked against removal until this process ends; `fetch` completes it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.folder / "lock")
        try:
            while not (self.complete and lock.take(shared=True) and self.complete):
                lock.wait(lambda: lock.take(shared=self.complete), report)
                if not self.complete:
                    fetch(lock)
        except BaseException:
            lock.release()
            raise

    def download(self, bucket: Bucket, items: Sequence[Object], name: str, report: Report) -> None:
        """Downloads what is missing; the caller holds the lock."""
        self._partial.mkdir(exist_ok=True)
        self._listing.write_text(_listing(items))
        parts = split(items)
        self._drop_broken(parts)
        self._reuse(parts, report)
        missing = self._missing(parts)
        need, total = _bytes(missing), sum(item.size for item in items)
        self._make_room(self._lacking(items), name)
        with Download(name, total, total - need, report) as download, self._explained(items, name):
            self._fetch(missing, self._partial, bucket, download)
        self._partial.rename(self.files)
        self._record.remember(self.cached(items).files)

    def cached(self, items: Sequence[Object]) -> Cached:
        """Its files with the digests that they must have, once it is complete."""
        return Cached(self.files, [self._file(parts) for parts in by_file(split(items))], self._record)

    def repair(self, broken: Sequence[File], bucket: Bucket, items: Sequence[Object], name: str,
               report: Report) -> None:  # fmt: skip
        """Downloads broken files again, beside the old ones, which stay readable for processes that have them open."""
        keys = {file.key for file in broken}
        parts = [part for part in split(items) if part.item.path in keys]
        require_room(self.folder, _bytes(parts), name, "--cache-dir")
        with (
            Download(name, _bytes(parts), 0, report) as download,
            self._explained([part.item for part in parts if not part.start], name),
            TemporaryDirectory(prefix="repair-", dir=self.folder) as new,
        ):
            self._fetch(parts, Path(new), bucket, download)
            for key in keys:
                (self.files / key).parent.mkdir(parents=True, exist_ok=True)
                (Path(new) / key).replace(self.files / key)

    def remove(self) -> None:
        """Deletes it, unless a worker uses it; removed half-way it is not `complete`."""
        lock = Lock(self.folder / "lock")
        try:
            if lock.take():
                self._marks.path.unlink(missing_ok=True)
                for half in (self._partial, *self.folder.glob("repair-*")):
                    shutil.rmtree(half, ignore_errors=True)
                if self.complete:
                    self.files.rename(self._partial)
                    shutil.rmtree(self._partial)
        finally:
            lock.release()

    def others(self) -> "list[Snapshot]":
        """Snapshots of other states of the same prefix."""
        return [other for other in snapshots(self.folder.parent) if other.folder != self.folder]

    def _file(self, parts: Sequence[Part]) -> File:
        """A file whose digest is made of its parts'; not known where an earlier release downloaded it without marks."""
        item, marks = parts[0].item, [self._marks.get(part) for part in parts]

        def digest(path: Path) -> str:
            return _joined([part.digest(path) for part in parts])

        return File(item.path, self.files / item.path, digest, _joined(marks) if all(marks) else None)

    def _drop_broken(self, parts: Sequence[Part]) -> None:
        """Removes whole files with a part of another digest than its mark: other snapshots may link to them."""

        def check(parts: Sequence[Part]) -> None:
            path = self._partial / parts[0].item.path
            here = [(part, mark) for part in parts if (mark := self._marks.get(part))]
            if path.exists() and any(part.digest(path) != mark for part, mark in here):
                logger.warning("%s is not what was fetched: it is fetched again", path)
                path.unlink()

        _in_parallel(check, by_file(parts))

    def _reuse(self, parts: Sequence[Part], report: Report) -> None:
        """Links to unchanged files of other snapshots, where the volume has links."""
        for other in filter(lambda other: other.complete, self.others()):
            with suppress(OSError, LoadError):
                theirs = {(part.item, part.start): part for part in split(other.items)}
                broken = {file.key for file in other.cached(other.items).broken(report)}
                for part in self._missing(parts):
                    same = theirs.get((part.item, part.start))
                    if same and part.item.path not in broken:
                        self._link(other.files / part.item.path, part, other._marks.get(same))

    def _link(self, file: Path, part: Part, digest: str) -> None:
        path = self._partial / part.item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or not path.samefile(file):
            path.unlink(missing_ok=True)
            path.hardlink_to(file)
        self._marks.set(part, digest or part.digest(path))

    def _missing(self, parts: Sequence[Part]) -> list[Part]:
        return [part for part in parts if not self._marks.get(part) or self._size(part) < part.end]

    def _size(self, part: Part) -> int:
        path = self._partial / part.item.path
        return path.stat().st_size if path.exists() else -1

    def _lacking(self, items: Sequence[Object]) -> int:
        """Bytes of disk that the files still need; what half-written parts have is not counted twice."""
        paths = [(item.size, self._partial / item.path) for item in items]
        return sum(max(0, size - (path.stat().st_blocks * 512 if path.exists() else 0)) for size, path in paths)

    def _make_room(self, need: int, name: str) -> None:
        for other in self.others():
            if shutil.disk_usage(self.folder).free < need:
                other.remove()
        require_room(self.folder, need, name, "--cache-dir")

    def _fetch(self, parts: Sequence[Part], folder: Path, bucket: Bucket, download: Download) -> None:
        def fetch(part: Part) -> None:
            self._marks.set(part, part.fetch(folder / part.item.path, bucket, download))

        _in_parallel(fetch, parts)

    @contextmanager
    def _explained(self, items: Sequence[Object], name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            refusal = disk_refusal(error, self.folder, self._lacking(items), name, "--cache-dir")
            if refusal:
                raise refusal from error
            raise


def snapshot_of(items: Sequence[Object], home: Path) -> Snapshot:
    """The snapshot of exactly these objects, in this state."""
    state = f"{_listing(items)} {PART}"
    return Snapshot(home / f"@{hashlib.sha256(state.encode()).hexdigest()[:16]}")


def _listing(items: Sequence[Object]) -> str:
    return json.dumps([astuple(item) for item in items])


def snapshots(home: Path) -> list[Snapshot]:
    return [Snapshot(folder) for folder in home.glob("@*") if (folder / "lock").exists()]


def _bytes(parts: Sequence[Part]) -> int:
    return sum(part.size for part in parts)


def _joined(digests: Sequence[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _in_parallel(work: Callable[[_Work], None], on: Sequence[_Work]) -> None:
    pool = ThreadPoolExecutor(_STREAMS, thread_name_prefix="download")
    try:
        for done in as_completed([pool.submit(work, one) for one in on]):
            done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
