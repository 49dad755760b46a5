"""A small disk of its own for processes of a test, and a kernel that refuses them what file systems may refuse."""

import errno
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

_SHARED = ["--mount", "--user", "--preserve-credentials"]
_REFUSE = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 73, "aarch64": 32}[platform.machine()]
program = b"".join(struct.pack("HBBI", *line) for line in [
    (0x20, 0, 0, 0),  # load the number of the system call
    (0x15, 0, 1, number),  # another than flock skips a line
    (0x06, 0, 0, 0x00050000 | int(sys.argv[1])),  # fail with this error
    (0x06, 0, 0, 0x7FFF0000),  # let it pass
])
lines = ctypes.create_string_buffer(program)
filter = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(lines))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0  # no new privileges
assert prctl(22, 2, filter, 0, 0) == 0, os.strerror(ctypes.get_errno())  # seccomp
os.execvp(sys.argv[2], sys.argv[2:])
"""


def without_locks(error: int = errno.ENOLCK) -> list[str]:
    """A command that runs another whose flock(2) the kernel refuses, as it does on NFS without a lock service."""
    return [sys.executable, "-c", _REFUSE, str(error)]


class Disk:
    """A tmpfs of so many bytes, mounted on a folder for those who run `inside`; the test sees it as `files`."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir()
        mount = f"mount -t tmpfs -o size={size} x {folder} && echo mounted && exec sleep infinity"
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if self._holder.stdout.readline() != "mounted\n":
            self.close()
            pytest.skip("no mount namespaces here")
        self.inside = ["nsenter", f"--target={self._holder.pid}", *_SHARED, "--"]
        self.files = Path(f"/proc/{self._holder.pid}/root{folder}")
        self._folder = folder

    def fill(self) -> None:
        with (self.files / "others").open("wb", 0) as file, suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass

    def empty(self) -> None:
        (self.files / "others").unlink()

    def remount(self, option: str) -> None:
        """ro: read-only from here on; rw: writable."""
        subprocess.run([*self.inside, "mount", "-o", f"remount,{option}", str(self._folder)], check=True)

    @staticmethod
    def real(path: Path) -> Path:
        """The file that a link of the hub's cache means; /proc's own path would not resolve."""
        return path.parent / path.readlink() if path.is_symlink() else path

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()
