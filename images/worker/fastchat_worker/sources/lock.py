"""A lock on a file, between workers that share a volume."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fastchat_worker.errors import LoadError

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

    def wait(self, attempt: Callable[[], bool], report: Callable[[str], None]) -> None:
        """Returns once the attempt succeeds; until then reports the holder's progress."""
        logged = False
        while not attempt():
            text = f"another worker is {self._published() or 'at it'}"
            if not logged:
                logger.info("waiting for %s: %s", self._path, text)
                logged = True
            report(text)
            time.sleep(_LOOK_EVERY)

    def publishing(self, report: Callable[[str], None]) -> Callable[[str], None]:
        """For the holder: a `report` that the processes that wait read as well."""

        def publish(text: str) -> None:
            with suppress(OSError):  # a full disk ends the download, not its report
                os.pwrite(self._file, text.encode(), 0)
                os.ftruncate(self._file, len(text.encode()))
            report(text)

        return publish

    def release(self) -> None:
        os.close(self._file)

    def _published(self) -> str:
        return os.pread(self._file, 1000, 0).decode(errors="replace")
