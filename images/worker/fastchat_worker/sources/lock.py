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

log = logging.getLogger(__name__)
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

    The holder writes into the file what he does, and those who wait report it.
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
        """Whether it could be had; what it was held as before is gone in either case.

        Where the file system refuses locks, whoever only reads goes on without; to be alone is LockRefusedError.
        """
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if not shared:
                raise LockRefusedError(self._path, error) from None
            log.warning("%s cannot be locked (%s): whoever can may remove what is used", self._path, error.strerror)
        return True

    def wait(self, attempt: Callable[[], bool], report: Callable[[str], None]) -> None:
        """Until the attempt succeeds; meanwhile reports what the holder does."""
        told = False
        while not attempt():
            text = f"another worker is {self._told() or 'at it'}"
            if not told:
                log.info("waiting for %s: %s", self._path, text)
                told = True
            report(text)
            time.sleep(_LOOK_EVERY)

    def telling(self, report: Callable[[str], None]) -> Callable[[str], None]:
        """A report that those who wait hear as well; for the holder."""

        def tell(text: str) -> None:
            with suppress(OSError):  # a full disk ends the download, not the talk about it
                os.pwrite(self._file, text.encode(), 0)
                os.ftruncate(self._file, len(text.encode()))
            report(text)

        return tell

    def free(self) -> None:
        os.close(self._file)

    def _told(self) -> str:
        return os.pread(self._file, 1000, 0).decode(errors="replace")
