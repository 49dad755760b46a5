"""When what happened to the objects of a namespace, as a watch saw it."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from support.eventually import eventually

from product.namespace import Namespace

Event = tuple[float, dict[str, Any]]


class Timeline:
    """Watches kinds of objects from now on; `first` says when something was true for the first time."""

    def __init__(self, namespace: Namespace, *kinds: str) -> None:
        self._events: dict[str, list[Event]] = {kind: [] for kind in kinds}
        self._watches = [self._watch(namespace, kind) for kind in kinds]

    def __enter__(self) -> "Timeline":
        return self

    def __exit__(self, *_: object) -> None:
        for watch in self._watches:
            watch.terminate()
            watch.wait()

    def first(self, kind: str, holds: Callable[[dict[str, Any]], object], seconds: float = 300) -> float:
        """Unix time at which an object of this kind was first seen for which it holds; waits for it."""
        return eventually(lambda: next((at for at, seen in list(self._events[kind]) if holds(seen)), None), seconds)

    def _watch(self, namespace: Namespace, kind: str) -> "subprocess.Popen[str]":
        command = namespace.cluster.kubectl_command(
            f"--namespace={namespace.name}", "get", kind, "--watch", "--output=json"
        )
        watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(watch, kind), daemon=True).start()
        return watch

    def _read(self, watch: "subprocess.Popen[str]", kind: str) -> None:
        """kubectl prints one indented document after the other; each ends with a brace at the beginning of a line."""
        assert watch.stdout is not None
        document = ""
        for line in watch.stdout:
            document += line
            if line.startswith("}"):
                self._events[kind].append((time.time(), json.loads(document)))
                document = ""


def is_of(thing: dict[str, Any], model: str) -> bool:
    """It belongs to this ModelDeployment."""
    return bool(thing["metadata"].get("labels", {}).get("fastchat.io/model-deployment") == model)


def runs(pod: dict[str, Any]) -> bool:
    return any("running" in each["state"] for each in pod["status"].get("containerStatuses", []))


def has_ready_endpoint(endpoint_slice: dict[str, Any]) -> bool:
    return any(each["conditions"].get("ready") for each in endpoint_slice.get("endpoints") or [])
