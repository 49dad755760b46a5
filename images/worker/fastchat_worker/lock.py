"""A lock on a file, between workers that share a volume."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)
_LOOK_EVERY = 0.5  # seconds


class Lock:
    """flock(2): the kernel frees it when its process ends, however that happens.

    The holder writes into the file what he does, and those who wait report it. `works` is False where the file system
    has no locks: whoever asks for one gets it then, and must not rely on being alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.works = True
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            self._file = os.open(path, os.O_RDONLY)  # a filled cache may be mounted read-only

    def take(self, *, shared: bool = False) -> bool:
        """Whether it could be had; what it was held as before is gone in either case."""
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if self.works:
                log.warning(
                    "%s cannot be locked (%s): who shares it may fetch what others do", self._path, error.strerror
                )
            self.works = False
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
            os.pwrite(self._file, text.encode(), 0)
            os.ftruncate(self._file, len(text.encode()))
            report(text)

        return tell

    def free(self) -> None:
        os.close(self._file)

    def _told(self) -> str:
        return os.pread(self._file, 1000, 0).decode(errors="replace")
