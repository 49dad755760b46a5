"""The progress of a download, reported each second and logged every few; and errors of the disk that it goes to."""

import errno
import logging
import os
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fastchat_worker.errors import LoadError
from fastchat_worker.telemetry.progress import Report, Transfer

logger = logging.getLogger(__name__)
_LOG_EVERY = 5  # seconds
_RATE_OVER = 5  # seconds
_REST_OVER = 20  # seconds whose rate tells how long the rest takes: it is to be steady


class Download:
    """Counts the bytes of one download while it goes on.

    total: bytes of all files. done: bytes that are here already. report: called with the progress each second.
    """

    def __init__(self, name: str, total: int, done: int, report: Report) -> None:
        self._name, self._total, self._report = name, total, report
        self._done = self._began_with = done
        self._adding = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)

    def add(self, count: int) -> None:
        """Adds bytes that have come, from any thread; a negative count for bytes that have to come again."""
        with self._adding:
            self._done += count

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        logger.info(
            "downloading %s, %.2f GB; %.2f GB are here already", self._name, self._total / 1e9, self._done / 1e9
        )
        self._report(self._text(0), Transfer(self._done, self._total))
        self._ticker.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()
        self._ticker.join()
        if error is None:
            seconds = time.monotonic() - self._began
            logger.info("downloaded %s, %.2f GB in %.0f s", self._name, (self._done - self._began_with) / 1e9, seconds)

    def _tick(self) -> None:
        recent = deque([(self._began, self._done)], maxlen=_REST_OVER + 1)
        logged = self._began
        while not self._ended.wait(1):
            recent.append((time.monotonic(), self._done))
            now, done = recent[-1]
            text = self._text(_rate(list(recent)[-_RATE_OVER - 1 :]))
            rate = _rate(recent)
            self._report(text, Transfer(done, self._total, (self._total - done) / rate if rate > 0 else None))
            if now - logged >= _LOG_EVERY:
                logger.info(text)
                logged = now

    def _text(self, rate: float) -> str:
        return f"downloading {self._name}: {self._done / 1e9:.2f} of {self._total / 1e9:.2f} GB, {rate / 1e6:.0f} MB/s"


def _rate(looks: Sequence[tuple[float, int]]) -> float:
    """Bytes a second from the first to the last of (time, bytes)."""
    (start, before), (now, done) = looks[0], looks[-1]
    return (done - before) / (now - start)


def require_room(folder: Path, need: int, name: str, setting: str) -> None:
    """Raises: LoadError where a folder's disk has less free than `need` bytes. setting: the option for the folder."""
    free = shutil.disk_usage(folder).free
    if need > free:
        raise LoadError(
            f"{name} needs {need / 1e9:.2f} GB more in {folder}, where {free / 1e9:.2f} GB are free: "
            f"enlarge that volume, or choose another folder by {setting}"
        )


def disk_refusal(error: Exception, folder: Path, need: int, name: str, setting: str) -> LoadError | None:
    """The error in terms of the disk that a download is written to; None where it is about something else.

    need: bytes that are still missing. setting: the option for the folder.
    """
    number, where = _errno(error), getattr(error, "filename", None) or folder
    reason = os.strerror(number) if number else ""
    choose = f"or choose another folder by {setting}"
    if number in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(folder).free
        return LoadError(
            f"{folder} is full ({reason}): {name} needs {need / 1e9:.2f} GB more, "
            f"and {free / 1e9:.2f} GB are free: enlarge that volume, {choose}"
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LoadError(f"cannot keep {name} in {folder}: {where} cannot be written ({reason}): allow it, {choose}")
    if number in (errno.EIO, errno.ESTALE):
        return LoadError(f"cannot keep {name} in {folder}: {where}: {reason}; check that volume, {choose}")
    return None


def _errno(error: Exception) -> int | None:
    """The error's number, which libraries in Rust have in the text only."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return error.errno if isinstance(error, OSError) and error.errno else int(found[1]) if found else None
