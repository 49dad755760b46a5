"""The cgroup that everything of one cluster's pods lies in, in cgroup v1's many hierarchies or v2's one."""

import time
from pathlib import Path

from cluster.tools.binaries import UnavailableError

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = "+cpu +cpuset +memory +pids"
REMOVE_SECONDS = 60


def create(name: str) -> None:
    """Make the cgroup in every hierarchy.

    Raises:
        UnavailableError: the cgroup file system is not there, or may not be written.
    """
    try:
        if (ROOT / "cgroup.subtree_control").exists():
            (ROOT / "cgroup.subtree_control").write_text(CONTROLLERS)
        for hierarchy in _hierarchies():
            (hierarchy / name).mkdir(exist_ok=True)
            _copy_cpuset(hierarchy, hierarchy / name)
    except OSError as error:
        raise UnavailableError(f"cgroups cannot be made here: {error}") from error


def remove(name: str) -> None:
    """Remove the cgroup and all below it. Its processes were killed; the kernel may need a moment to see them off."""
    deadline = time.monotonic() + REMOVE_SECONDS
    for hierarchy in _hierarchies():
        for group in _leaves_first(hierarchy / name):
            while not _removed(group) and time.monotonic() < deadline:
                time.sleep(0.05)


def _hierarchies() -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [folder for folder in ROOT.iterdir() if (folder / "cgroup.procs").exists() and not folder.is_symlink()]


def _copy_cpuset(parent: Path, child: Path) -> None:
    """A new cpuset of v1 is empty, and takes no process until it has processors and memory."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (child / name).exists() and not (child / name).read_text().strip() and (parent / name).exists():
            (child / name).write_text((parent / name).read_text())


def _leaves_first(group: Path) -> list[Path]:
    found = [path for path in group.rglob("*") if path.is_dir()] if group.exists() else []
    return [*sorted(found, key=lambda path: -len(path.parts)), *([group] if group.exists() else [])]


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
