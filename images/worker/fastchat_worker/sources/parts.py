"""Files of a bucket in parts, each fetched and checked by itself."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from fastchat_worker.sources.bucket import Bucket, Object
from fastchat_worker.sources.download import Download
from fastchat_worker.sources.integrity import sha256

PART = 64 << 20  # bytes
_DIGEST = 32  # bytes


@dataclass(frozen=True)
class Part:
    """Bytes of a file that are fetched in one request; `marked`: its place in Marks."""

    marked: int
    item: Object
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start

    def digest(self, path: Path) -> str:
        """The digest of these bytes of a file on disk."""
        return sha256(path, self.start, self.end)

    def fetch(self, path: Path, bucket: Bucket, download: Download) -> str:
        """Writes the bytes to a file, synced to its disk. Returns the digest of what came."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        digest = hashlib.sha256()
        with path.open("r+b") as file:
            file.seek(self.start)
            for piece in bucket.read(self.item, self.start, self.end):
                digest.update(piece)
                file.write(piece)
                download.add(len(piece))
            file.flush()
            os.fsync(file.fileno())  # or a machine that loses power would have a mark for a part that it lost
        return digest.hexdigest()


class Marks:
    """A file with the digest of each part that has been fetched."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, part: Part) -> str:
        """The digest in hexadecimal digits; empty where the part has not been fetched."""
        try:
            with self.path.open("rb") as record:
                record.seek(part.marked * _DIGEST)
                digest = record.read(_DIGEST)
        except FileNotFoundError:
            return ""
        return digest.hex() if len(digest) == _DIGEST and any(digest) else ""

    def set(self, part: Part, digest: str) -> None:
        record = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            os.pwrite(record, bytes.fromhex(digest), part.marked * _DIGEST)
        finally:
            os.close(record)


def split(items: Sequence[Object]) -> list[Part]:
    """The parts of all files; an empty file is one part."""
    bounds = [(item, start) for item in items for start in range(0, item.size or 1, PART)]
    return [Part(place, item, start, min(start + PART, item.size)) for place, (item, start) in enumerate(bounds)]


def by_file(parts: Sequence[Part]) -> list[list[Part]]:
    return [list(group) for _, group in groupby(parts, lambda part: part.item)]
