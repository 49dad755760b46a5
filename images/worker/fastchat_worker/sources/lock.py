"""A lock on a file, between workers that share a volume."""

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fastchat_worker.errors import LoadError
from fastchat_worker.telemetry.progress import Report, Transfer

logger = logging.getLogger(__name__)
_LOOK_EVERY = 0.5  # seconds


class LockRefusedError(LoadError):
    """The file system has no locks, or gives none now; two at once would spoil what they write."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be locked ({error.strerror}), so that two workers might write the same files: mount that "
            "volume with flock (NFS: with a lock service), or give each worker a folder of its own"
        )


class Lock:
    """flock(2): the kernel frees it when its process ends, however that happens.

    The holder writes its progress into the file, and the processes that wait report it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            self._file = os.open(path, os.O_RDONLY)  # a filled cache may be mounted read-only

    def take(self, *, shared: bool = False) -> bool:
        """Whether it was taken. A lock that this object held before is lost in either case.

        Raises: LockRefusedError where the file system has no locks; a shared lock counts as taken then, with a warning.
        """
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if not shared:
                raise LockRefusedError(self._path, error) from None
            logger.warning(
                "%s cannot be locked (%s): another worker may remove files that this one uses",
                self._path,
                error.strerror,
            )
        return True

    def wait(self, attempt: Callable[[], bool], report: Report) -> None:
        """Returns once the attempt succeeds; until then reports the holder's progress."""
        logged = False
        while not attempt():
            said, transfer = self._published()
            text = f"another worker is {said or 'at it'}"
            if not logged:
                logger.info("waiting for %s: %s", self._path, text)
                logged = True
            report(text, transfer)
            time.sleep(_LOOK_EVERY)

    def publishing(self, report: Report) -> Report:
        """For the holder: a `report` that the processes that wait read as well."""

        def publish(text: str, far: Transfer | float | None = None, /) -> None:
            written = (f"{text}\n{json.dumps(far)}" if isinstance(far, Transfer) else text).encode()
            with suppress(OSError):  # a full disk ends the download, not its report
                os.pwrite(self._file, written, 0)
                os.ftruncate(self._file, len(written))
            report(text, far)

        return publish

    def release(self) -> None:
        os.close(self._file)

    def _published(self) -> tuple[str, Transfer | None]:
        """What the holder has reported: a line of text, and of a download how far it is."""
        text, _, numbers = os.pread(self._file, 1000, 0).decode(errors="replace").partition("\n")
        try:
            return text, Transfer(*json.loads(numbers)) if numbers else None
        except (ValueError, TypeError):  # it is being written
            return text, None
