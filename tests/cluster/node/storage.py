"""Keeps what outlives a cluster from filling the disk: a worker's image is 3 GB compressed, and each version stays."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cluster.node.slot import SLOTS, Slot

MOST_BYTES = 12 * 10**9


def empty_registry(folder: Path) -> None:
    """Remove all images of the registry if they have become too many, and no cluster runs that may need them."""
    if not folder.exists() or sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < MOST_BYTES:
        return
    if not any((Slot(number).run / "ready").exists() for number in range(SLOTS)):
        shutil.rmtree(folder)


def pull(reference: str, inside: Sequence[str]) -> None:
    """Have the node fetch an image, and only then forget other versions of it, most of whose layers it shares.

    Pods that still run one of those keep its files until they end.
    """
    containerd = [*inside, "ctr", "--namespace=k8s.io", "images"]
    subprocess.run([*containerd, "pull", "--plain-http", reference], capture_output=True, check=True)
    listed = subprocess.run([*containerd, "list"], capture_output=True, text=True, check=True).stdout
    digests = {line.split()[0]: line.split()[2] for line in listed.splitlines()[1:]}
    repository = reference.rpartition(":")[0]
    older = {digest for name, digest in digests.items() if name.startswith(f"{repository}:") and name != reference}
    names = [name for name, digest in digests.items() if digest in older - {digests.get(reference)}]
    if names:
        subprocess.run([*containerd, "remove", *names], capture_output=True, check=True)
