"""How far a worker is, from its own words by way of a gateway to the status; worker, gateway and operator are real."""

import time

import httpx
import pytest
from integration.operator.pods import Gateway, Pod
from integration.operator.team import model
from integration.worker.sources.slow_hub import SMOLLM2, slow_hub
from support.eventually import eventually

_SECONDS = 10.0
"""What the download takes."""


class LoadingWorker(Pod):
    """One that fetches its model from a hub, and is not ready."""

    def __init__(self, team, ip, hub, home) -> None:
        options = ["--model-name=m", "--model-path=hf://team/tiny", f"--host={ip}", "--port=8000"]
        environ = {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        super().__init__(team, "m-worker", "worker", ip, ["-m", "fastchat_worker", *options], **environ)

    def report(self) -> None:
        running = {"running": {"startedAt": "2026-11-23T05:00:00Z"}}
        about = {"name": "worker", "image": "x", "imageID": "x", "restartCount": 0, "ready": False, "started": False}
        conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": [about | {"state": running}]}
        self._team.patch("pods", f"{self.name}/status", {"status": status | {"podIP": self.ip}})

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.ip}:{self.port}/ready", trust_env=False).status_code == 503
        except httpx.TransportError:
            return False


@pytest.fixture
def wire(tmp_path):
    with slow_hub(tmp_path, _SECONDS) as wire:
        yield wire


@pytest.fixture
def loading(operator, team, api_server, addresses, wire, tmp_path):
    """A team's gateway, and its worker that has just begun to load."""
    team.apply(model("m"))
    eventually(lambda: team.get("deployments", "fastchat-gateway") and team.get("deployments", "m-worker"))
    team.count("m-worker", replicas=1, updatedReplicas=1)
    gateway = Gateway(team, api_server.kubeconfig, next(addresses))
    worker = LoadingWorker(team, next(addresses), wire.url, tmp_path / "hf")
    _place(team, worker)
    yield worker
    worker.stop()
    gateway.stop()


def _place(team, worker) -> None:
    """The EndpointSlice of a worker that is not ready."""
    ready = {"ready": False, "serving": False, "terminating": False}
    endpoint = {"addresses": [worker.ip], "conditions": ready, "targetRef": {"kind": "Pod", "uid": worker.uid}}
    labels = {"fastchat.io/model-deployment": "m", "kubernetes.io/service-name": "m-worker"}
    ports = [{"name": "http", "port": 8000, "protocol": "TCP"}]
    metadata = {"name": "m-worker-a", "labels": labels}
    about = {"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": [endpoint]}
    team.create("endpointslices", about)


def _progress(team):
    return team.get("modeldeployments", "m").get("status", {}).get("progress")


def _seen(team, wire):
    """(seconds, progress) whenever the status has another one, and when the download ended, by the hub's clock."""
    seen, ended = [], None
    while not ended or time.monotonic() - ended < 1:
        now, progress = time.monotonic(), _progress(team)
        if progress and (not seen or progress != seen[-1][1]):
            seen.append((now, progress))
        if not ended and wire.passed >= SMOLLM2.stat().st_size:
            ended = now
        time.sleep(0.1)
    return seen, ended


def test_the_status_says_how_far_the_download_is_and_when_it_ends(loading, team, api_server, wire):
    def writes() -> int:
        return sum(f"status {team.name}/m" in each for each in api_server.writes("fastchat-operator"))

    began, before = time.monotonic(), writes()
    eventually(lambda: (_progress(team) or {}).get("percent"))
    table = api_server.kubectl("get", "md", f"--namespace={team.name}")
    assert "PROGRESS" in table
    assert "Downloading" in table
    seen, ended = _seen(team, wire)
    told = [(at, each) for at, each in seen if each["phase"] == "Downloading" and "percent" in each]
    percents = [each["percent"] for _, each in told]
    assert len(percents) >= 2
    assert percents == sorted(percents)
    assert {each["total"] for _, each in told} == {f"{SMOLLM2.stat().st_size / 2**20:.1f}Mi"}
    off = [(ended - at, each) for at, each in told if each["percent"] >= 50 and not _is_near(each, ended - at)]
    assert not off
    assert writes() - before <= (time.monotonic() - began) / 3 + 5
    team.patch("pods", f"{loading.name}/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    eventually(lambda: _progress(team) is None)


def _is_near(progress, left: float) -> bool:
    """Within 20 %, or the two seconds that words take from the worker to the status."""
    return "etaSeconds" in progress and abs(progress["etaSeconds"] - left) <= max(0.2 * left, 2) + 1
