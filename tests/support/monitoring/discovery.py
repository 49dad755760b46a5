"""Pods as Prometheus finds them by `kubernetes_sd_configs`, which Debian's was built without."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.client import Cluster

META = "__meta_kubernetes"


class Pods:
    """Writes a cluster's pods, as role `pod` has them, into files of targets that Prometheus reads again and again."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._files: dict[Path, set[str]] = {}

    def discovered(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The job with a file of pods in the place of its `kubernetes_sd_configs`."""
        (discovery,) = job["kubernetes_sd_configs"]
        assert discovery["role"] == "pod"
        file = self._folder / f"pods-{len(self._files)}.json"
        file.write_text("[]")
        self._files[file] = set(discovery.get("namespaces", {}).get("names", ()))
        rest = {name: value for name, value in job.items() if name != "kubernetes_sd_configs"}
        return rest | {"file_sd_configs": [{"files": [str(file)], "refresh_interval": "1s"}]}

    def write(self) -> None:
        """Those that there are now."""
        with suppress(RuntimeError):  # the API server is away
            pods = json.loads(self._cluster.kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]
            for file, namespaces in self._files.items():
                chosen = [pod for pod in pods if not namespaces or pod["metadata"]["namespace"] in namespaces]
                new = file.with_suffix(".new")
                new.write_text(json.dumps([group for pod in chosen for group in targets(pod)]))
                new.rename(file)


def targets(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A target for each port of a pod that has an address, with the labels that relabeling may ask for."""
    about, status = pod["metadata"], pod["status"]
    if not (address := status.get("podIP")):
        return
    labels = {
        f"{META}_namespace": about["namespace"],
        f"{META}_pod_name": about["name"],
        f"{META}_pod_phase": status["phase"],
    }
    for name, value in about.get("labels", {}).items():
        known = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        labels |= {f"{META}_pod_label_{known}": value, f"{META}_pod_labelpresent_{known}": "true"}
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            own = {
                f"{META}_pod_container_name": container["name"],
                f"{META}_pod_container_port_name": port.get("name", ""),
            }
            own[f"{META}_pod_container_port_number"] = str(port["containerPort"])
            yield {"targets": [f"{address}:{port['containerPort']}"], "labels": labels | own}
