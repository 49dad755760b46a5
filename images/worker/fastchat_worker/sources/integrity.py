"""Whether the files of a cache are still what was fetched."""

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from fastchat_worker.errors import LoadError
from fastchat_worker.telemetry.progress import Report

logger = logging.getLogger(__name__)
_PIECE = 1 << 20  # bytes
_READERS = 4  # files that are read at once

Digest = Callable[[Path], str]


@dataclass(frozen=True)
class File:
    """A file of a cache.

    key: its name in the record. digest: computes the digest of a file. expected: the digest that it must have; None:
    the one that it had when it was first seen.
    """

    key: str
    path: Path
    digest: Digest
    expected: str | None


@dataclass(frozen=True)
class Seen:
    """A digest that a file had, and its size in bytes, time of change in nanoseconds and inode at that time.

    The time of the inode's own change is left out: Kubernetes' fsGroup moves it at each start of a pod, and every link
    to the file does.
    """

    size: int
    changed: int
    inode: int
    digest: str


class Record:
    """The digests that files had, kept on disk, so that an unchanged file is not read again.

    Bits that rot below the file system change neither size nor time, and are found by a `thorough` check only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def broken(self, files: Sequence[File], report: Report, *, thorough: bool = False) -> list[File]:
        """The files that are missing or have another digest. Raises: OSError where one cannot be read."""
        known = self._read()
        unread = [file for file in files if thorough or not _unchanged(file, known.get(file.key))]
        if not unread:
            return []
        report(f"checking {len(unread)} files in {self._path.parent}")
        with ThreadPoolExecutor(_READERS, thread_name_prefix="check") as pool:
            seen = dict(zip(unread, pool.map(_look, unread), strict=True))
        whole = {file.key: new for file, new in seen.items() if new and _agrees(file, new, known.get(file.key))}
        self._write(known | whole)
        return [file for file in unread if file.key not in whole]

    def remember(self, files: Iterable[File]) -> None:
        """Records that these files have the expected digests, without reading them: they were just written."""
        self._write(self._read() | {file.key: _seen(file.path, file.expected or "") for file in files})

    def _read(self) -> dict[str, Seen]:
        """The record; empty where it is missing or broken, and the files are read again."""
        try:
            return {key: Seen(*values) for key, values in json.loads(self._path.read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self, known: Mapping[str, Seen]) -> None:
        """Does nothing on a volume that is read-only or full: the files are read again at the next start."""
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            try:
                new.write_text(json.dumps({key: astuple(seen) for key, seen in known.items()}))
                new.replace(self._path)
            finally:
                new.unlink(missing_ok=True)


@dataclass(frozen=True)
class Cached:
    """A model's files in a cache."""

    folder: Path
    files: Sequence[File]
    record: Record

    def broken(self, report: Report, *, thorough: bool = False) -> list[File]:
        """The files that are not what was fetched. Raises: LoadError where one cannot be read."""
        try:
            return self.record.broken(self.files, report, thorough=thorough)
        except OSError as error:
            raise LoadError(
                f"cannot read {error.filename or self.folder} in the cache: {error.strerror}; "
                "check that volume and whose the file is, or remove it"
            ) from None


def discard(files: Sequence[File]) -> None:
    """Removes broken files, and links to them. Raises: LoadError where one cannot be removed."""
    for file in files:
        logger.warning("%s is not what was fetched: it is removed from the cache", file.path)
        try:
            for path in list(_chain(file.path)):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise LoadError(
                f"{file.path} in the cache is corrupt and cannot be removed ({error.strerror}): "
                "remove it where that volume can be written"
            ) from None


def corrupt(files: Sequence[File]) -> str:
    """The beginning of an error about broken files."""
    return f"{', '.join(str(file.path) for file in files)} in the cache {'was' if len(files) == 1 else 'were'} corrupt"


def _chain(path: Path) -> Iterator[Path]:
    """A file, and before it the links that lead there."""
    yield path
    while path.is_symlink():
        path = path.parent / path.readlink()
        yield path


def sha256(path: Path, start: int = 0, end: int | None = None) -> str:
    """The digest of a file's bytes from start to end, in hexadecimal digits."""
    return _hashed(hashlib.sha256(), path, start, end)


def sha1_or_git(path: Path, expected: str) -> str:
    """git's digest of a file, as the hub names small ones; or its plain SHA-1 where a mirror names it so."""
    plain = _hashed(hashlib.sha1(usedforsecurity=False), path)
    header = f"blob {path.stat().st_size}\0".encode()
    return plain if plain == expected else _hashed(hashlib.sha1(header, usedforsecurity=False), path)


def named_by_digest(key: str, path: Path) -> File:
    """A file whose name in the cache is its digest, as the hub's are; for other names no digest is expected."""
    if re.fullmatch(r"[0-9a-f]{64}", key):
        return File(key, path, sha256, key)
    if re.fullmatch(r"[0-9a-f]{40}", key):
        return File(key, path, lambda path: sha1_or_git(path, key), key)
    return File(key, path, sha256, None)


def _hashed(digest: "hashlib._Hash", path: Path, start: int = 0, end: int | None = None) -> str:
    with path.open("rb", 0) as file:
        left = sys.maxsize if end is None else end - start
        file.seek(start)
        while piece := file.read(min(_PIECE, left)):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def _look(file: File) -> Seen | None:
    """What the file is now; None where it is missing. Raises: OSError with its name where it cannot be read."""
    try:
        seen = _seen(file.path, file.digest(file.path))
        with file.path.open("rb") as opened:
            os.fsync(opened.fileno())  # or a machine that loses power would have a record of bytes that it lost
    except FileNotFoundError:
        return None
    except OSError as error:
        error.filename = str(file.path)  # read() does not set it
        raise
    return seen


def _seen(path: Path, digest: str) -> Seen:
    stat = path.stat()
    return Seen(stat.st_size, stat.st_mtime_ns, stat.st_ino, digest)


def _unchanged(file: File, known: Seen | None) -> bool:
    try:
        return known is not None and known == _seen(file.path, file.expected or known.digest)
    except FileNotFoundError:
        return False


def _agrees(file: File, seen: Seen, known: Seen | None) -> bool:
    return seen.digest == (file.expected or (known or seen).digest)
