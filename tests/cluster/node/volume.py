"""A volume that needs no storage provider: a folder of the node, and a claim that is bound to it alone."""

from pathlib import Path
from typing import Any


def objects(namespace: str, name: str, size: str, folder: Path) -> list[dict[str, Any]]:
    """PersistentVolume and PersistentVolumeClaim."""
    volume = f"{namespace}-{name}"
    both = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    provided = {
        "capacity": {"storage": size},
        "hostPath": {"path": str(folder)},
        "claimRef": {"namespace": namespace, "name": name},
    }
    claimed = {"resources": {"requests": {"storage": size}}, "volumeName": volume}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": both | provided},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": both | claimed,
        },
    ]
