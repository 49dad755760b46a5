"""What runs in pods, as processes at addresses of their own; the tests are the kubelet that starts them."""

import base64
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from integration.operator.team import Namespace, Object
from support.eventually import eventually

SIMULATOR = Path(__file__).parents[3] / "benchmarks" / "simulator.py"


class Pod:
    """A process and the pod that the API server has of it."""

    port = 8000

    def __init__(self, team: Namespace, workload: str, container: str, ip: str, command: list[str], **environ: str):
        self._team, self.ip, self.container = team, ip, container
        template = team.get("deployments", workload)["spec"]["template"]
        about = template["metadata"] | {"generateName": f"{workload}-", "ownerReferences": self.owners(workload)}
        metadata = team.create("pods", {"metadata": about, "spec": template["spec"]})["metadata"]
        self.name, self.uid = metadata["name"], metadata["uid"]
        self.process = subprocess.Popen([sys.executable, *command], env=os.environ | environ)
        try:
            eventually(self._answers)
        except AssertionError:
            self.stop()
            raise
        self.report()

    def owners(self, workload: str) -> list[Object]:
        return [self._team.replica_set(workload)]

    def report(self, **state: object) -> None:
        """What a kubelet writes of a container that is ready."""
        about = {"name": self.container, "image": "x", "imageID": "x", "restartCount": 0, "ready": True}
        about |= {"started": True, "state": state or {"running": {"startedAt": "2026-11-23T05:00:00Z"}}}
        conditions = [{"type": each, "status": "True"} for each in ("PodScheduled", "Ready")]
        ips = {"podIP": self.ip, "podIPs": [{"ip": self.ip}]}
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": [about], **ips}
        self._team.patch("pods", f"{self.name}/status", {"status": status})

    @property
    def annotations(self) -> dict[str, str]:
        return self._team.get("pods", self.name)["metadata"].get("annotations", {})

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.ip}:{self.port}/ready", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


class Worker(Pod):
    """A simulator whose streams last for some seconds."""

    def __init__(self, team: Namespace, model: str, ip: str, seconds: float) -> None:
        pace = [f"--tokens={round(seconds * 10)}", "--interval=0.1"]
        super().__init__(team, f"{model}-worker", "worker", ip, [str(SIMULATOR), "8000", f"--host={ip}", *pace])


class Gateway(Pod):
    """The namespace's gateway, with the token that its pod would have."""

    port = 8080

    def __init__(self, team: Namespace, kubeconfig: Path, ip: str) -> None:
        token = base64.b64decode(team.get("secrets", "fastchat-internal")["data"]["token"]).decode()
        command = ["-m", "fastchat_gateway", "--kubernetes", f"--namespace={team.name}", f"--host={ip}", "--port=8080"]
        environ = {"KUBECONFIG": str(kubeconfig), "FASTCHAT_INTERNAL_TOKEN": token}
        super().__init__(team, "fastchat-gateway", "gateway", ip, [*command, "--no-access-log"], **environ)

    def ask(self, model: str, stream: bool = False) -> httpx.Response:
        """The answer to a chat, whole."""
        url = f"http://{self.ip}:{self.port}/v1/chat/completions"
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
        return httpx.post(url, json=body, timeout=60, trust_env=False)


def place(team: Namespace, model: str, *workers: Worker) -> None:
    """The EndpointSlice of a model's workers, as its controller writes it."""
    endpoints = [
        {"addresses": [each.ip], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "uid": each.uid}}
        for each in workers
    ]
    service = f"{model}-worker"
    labels = {"fastchat.io/model-deployment": model, "kubernetes.io/service-name": service}
    ports = [{"name": "http", "port": 8000, "protocol": "TCP"}]
    metadata = {"name": f"{service}-a", "labels": labels}
    slices = {"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": endpoints}
    team.create("endpointslices", slices)


def network() -> Iterator[Iterator[str]]:
    """Addresses of this machine, each given once. An EndpointSlice takes no loopback address."""
    for block in random.sample([f"198.19.{number}" for number in range(256)], 32):
        route = ["local", f"{block}.0/24", "dev", "lo"]
        if subprocess.run(["ip", "route", "add", *route], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip(f"no free addresses: {block}.0/24 and all others before it are in use")
    try:
        yield (f"{block}.{number}" for number in range(1, 255))
    finally:
        subprocess.run(["ip", "route", "del", *route], check=True)


def until(moment: float) -> None:
    """Wait until a monotonic time."""
    time.sleep(max(0.0, moment - time.monotonic()))
