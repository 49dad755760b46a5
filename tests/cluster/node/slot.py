"""A place for one cluster on this machine: its folder, addresses and names. Every checkout takes one of its own."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from cluster.tools.binaries import UnavailableError, cache

CHECKOUT = Path(__file__).parents[1]
SLOTS = 16


@dataclass(frozen=True)
class Slot:
    """One of the places, by number."""

    number: int

    @property
    def folder(self) -> Path:
        return cache() / "nodes" / str(self.number)

    @property
    def run(self) -> Path:
        """What belongs to one life of a cluster; containerd's images, beside it, outlive that."""
        return self.folder / "run"

    @property
    def control(self) -> Path:
        """Socket that the node's first process listens on."""
        return self.run / "control"

    @property
    def link(self) -> str:
        """The host's end of the cable to the node."""
        return f"fastchat{self.number}"

    @property
    def host_address(self) -> str:
        return f"10.213.{self.number}.1"

    @property
    def node_address(self) -> str:
        return f"10.213.{self.number}.2"

    @property
    def api_url(self) -> str:
        return f"https://{self.node_address}:6443"

    @property
    def registry(self) -> str:
        """Where images are pushed to from this machine."""
        return f"{self.node_address}:5000"

    @property
    def cgroup(self) -> str:
        return f"fastchat-{self.number}"

    @property
    def owner(self) -> Path:
        """File that names the checkout whose cluster this is."""
        return self.folder / "owner"

    def try_lock(self) -> int | None:
        """A file descriptor that holds the slot for as long as any process has it open; None where another does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock


def claim() -> tuple[Slot, int]:
    """The first slot that no one uses, and its lock."""
    for slot in map(Slot, range(SLOTS)):
        if Path("/sys/class/net", slot.link).exists():  # of somebody with another cache
            continue
        if (lock := slot.try_lock()) is not None:
            slot.owner.write_text(str(CHECKOUT))
            return slot, lock
    raise UnavailableError(f"{SLOTS} clusters run on this machine already")


def mine() -> Slot | None:
    """The slot of this checkout's cluster, or of what is left of it."""
    return next((slot for slot in map(Slot, range(SLOTS)) if _owner(slot) == str(CHECKOUT)), None)


def _owner(slot: Slot) -> str | None:
    try:
        return slot.owner.read_text()
    except OSError:
        return None
