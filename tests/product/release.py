"""The Helm release of the product."""

import json
import subprocess
from pathlib import Path
from typing import Any

from cluster.client import Cluster

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/fastchat"
NAME = "fastchat"
NAMESPACE = "fastchat-system"
PARTS = ("operator", "gateway", "worker")


class Release:
    """Our chart with our images, in a cluster."""

    def __init__(self, cluster: Cluster, helm: Path) -> None:
        self._cluster = cluster
        self._helm = helm

    def helm(self, *arguments: str) -> str:
        """Output of helm. Raises RuntimeError with what it complained about."""
        command = [str(self._helm), f"--kubeconfig={self._cluster.kubeconfig}", f"--namespace={NAMESPACE}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise RuntimeError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def install(self, *settings: str, chart: Path = CHART, images: str = "images") -> str:
        """Install or upgrade, and wait until the operator is ready; our images are given as the value `images`.

        Settings are `path=value`, or `path:=JSON`.
        """
        named = [f"--set={images}.{part}={self._cluster.image(part)}" for part in PARTS]
        wait = ["--create-namespace", "--wait", "--timeout=300s"]
        return self.helm("upgrade", "--install", NAME, str(chart), *wait, *named, *map(_option, settings))

    def uninstall(self) -> str:
        return self.helm("uninstall", NAME, "--wait")

    def operators(self) -> list[str]:
        """Names of the operator's pods that run."""
        return [pod["metadata"]["name"] for pod in self._pods() if not pod["metadata"].get("deletionTimestamp")]

    def restarts(self) -> int:
        return sum(each["restartCount"] for pod in self._pods() for each in pod["status"].get("containerStatuses", []))

    def _pods(self) -> list[dict[str, Any]]:
        selector = "--selector=app.kubernetes.io/component=operator"
        found = self._cluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", selector, "--output=json")
        pods: list[dict[str, Any]] = json.loads(found)["items"]
        return pods


def _option(setting: str) -> str:
    return f"--set-json={setting.replace(':=', '=', 1)}" if ":=" in setting else f"--set={setting}"
