"""`helm test` in a real API server, with this test as the kubelet: the pod's command runs here, with its account."""

import json
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from support.eventually import eventually

POD = "fastchat-operator-test"
SECONDS = "2"
READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}


class Kubelet:
    """Runs one pod's container as a process, and tells the API server how it ended."""

    def __init__(self, api_server, namespace: str, folder: Path) -> None:
        self._api_server, self._folder = api_server, folder
        self._here = f"--namespace={namespace}"
        self._namespace = namespace
        self.printed = ""

    def run(self) -> None:
        pod = self._new_pod()
        container = pod["spec"]["containers"][0]
        assert container["command"] == ["python", "-c"]
        *arguments, _ = container["args"]  # it would wait for two minutes
        environ = os.environ | self._mounted(pod["spec"]["serviceAccountName"])
        command = [sys.executable, "-c", *arguments, SECONDS]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)
        self.printed = done.stdout + done.stderr
        phase = "Failed" if done.returncode else "Succeeded"
        patch = json.dumps({"status": {"phase": phase}})
        target = ["pod", POD, self._here]
        self._api_server.kubectl("patch", *target, "--subresource=status", "--type=merge", f"--patch={patch}")

    def _new_pod(self) -> dict:
        """Wait for a pod that has not run."""

        def new_pods() -> list[dict]:
            pods = json.loads(self._api_server.kubectl("get", "pods", self._here, "--output=json"))["items"]
            return [pod for pod in pods if pod["status"]["phase"] == "Pending"]

        return eventually(new_pods)[0]

    def _mounted(self, account: str) -> dict[str, str]:
        """What a pod finds of its account and of the API server."""
        config = yaml.safe_load(self._api_server.service_account(self._namespace, account).read_text())
        (self._folder / "token").write_text(config["users"][0]["user"]["token"])
        authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
        (self._folder / "ca.crt").write_bytes(b64decode(authority))
        server = urlsplit(self._api_server.url)
        return {
            "SERVICE_ACCOUNT": str(self._folder),
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }


@pytest.fixture
def kubelet(api_server, release, tmp_path) -> Kubelet:
    return Kubelet(api_server, release.namespace, tmp_path)


@contextmanager
def at_work(kubelet: Kubelet) -> Iterator[None]:
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(kubelet.run)
        try:
            yield
        finally:
            running.result()


def report(api_server, release, **status: int) -> None:
    """What the controller of Deployments would say."""
    patch = json.dumps({"status": READY | status})
    target = ["deployment", "fastchat-operator", f"--namespace={release.namespace}"]
    api_server.kubectl("patch", *target, "--subresource=status", "--type=merge", f"--patch={patch}")


def test_it_passes_where_models_are_served_and_the_operator_is_ready_and_leaves_nothing(release, api_server, kubelet):
    release.install()
    report(api_server, release)
    with at_work(kubelet):
        assert "Phase:          Succeeded" in release.helm("test", "--timeout=60s")
    assert kubelet.printed == "ModelDeployments are served, and the operator is ready.\n"
    left = api_server.kubectl("get", "pods,serviceaccounts,roles", f"--namespace={release.namespace}", "--output=name")
    assert POD not in left


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        ({"availableReplicas": 0}, "of 1 operators 1 are up to date and 0 available"),
        ({"updatedReplicas": 0}, "of 1 operators 0 are up to date and 1 available"),
        ({"observedGeneration": 0}, "the operator's Deployment has not been looked at"),
    ],
)
def test_it_fails_where_the_operator_is_not_ready_and_says_why(release, api_server, kubelet, status, complaint):
    release.install()
    report(api_server, release, **status)
    with at_work(kubelet), pytest.raises(RuntimeError, match=f"pod {POD} failed"):
        release.helm("test", "--timeout=60s")
    assert kubelet.printed == f"not ready after {SECONDS} s: {complaint}\n"


def test_it_fails_where_models_are_not_served(release, api_server, kubelet):
    release.install()
    report(api_server, release)
    api_server.kubectl("delete", "crd", "modeldeployments.fastchat.io")
    with at_work(kubelet), pytest.raises(RuntimeError, match=f"pod {POD} failed"):
        release.helm("test", "--timeout=60s")
    assert "/apis/fastchat.io/v1alpha1: HTTP Error 404" in kubelet.printed


def test_a_failed_test_can_be_run_again(release, api_server, kubelet):
    release.install()
    for _ in range(2):
        with at_work(kubelet), pytest.raises(RuntimeError, match=f"pod {POD} failed"):
            release.helm("test", "--timeout=60s")
