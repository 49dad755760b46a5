"""The chart, rendered by Helm and installed into a real API server."""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from cluster.control_plane.apiserver import ApiServer
from cluster.skips import or_skip
from cluster.tools.binaries import tools

CHART = Path(__file__).parents[3] / "charts/fastchat"
CRD = "modeldeployments.fastchat.io"
_NUMBERS = itertools.count(1)


class Helm:
    """The helm command; with a kubeconfig, against that cluster."""

    def __init__(self, binary: Path, home: Path) -> None:
        self.binary = binary
        self.environ = os.environ | {f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        self.kubeconfig = Path(os.devnull)

    def __call__(self, *arguments: str) -> str:
        """What it printed; raises RuntimeError with what it complained about."""
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environ, timeout=180)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def objects(self, *arguments: str, chart: Path = CHART) -> list[dict]:
        """What release `fastchat` in namespace `fastchat-system` consists of, hooks included."""
        place = ["--namespace=fastchat-system", "--kube-version=1.34"]
        return list(yaml.safe_load_all(self("template", "fastchat", str(chart), *place, *arguments)))

    def object(self, kind: str, *arguments: str) -> dict:
        """The first object of a kind."""
        return next(each for each in self.objects(*arguments) if each["kind"] == kind)


class Release:
    """The release called `fastchat`."""

    def __init__(self, helm: Helm, kubectl: Callable[..., str], namespace: str) -> None:
        self._helm, self._kubectl, self.namespace = helm, kubectl, namespace

    def helm(self, verb: str, *arguments: str) -> str:
        return self._helm(verb, "fastchat", *arguments, f"--namespace={self.namespace}")

    def install(self, *arguments: str, chart: Path = CHART) -> str:
        notes = self.helm("install", str(chart), *arguments)
        self._kubectl("wait", "--for=condition=Established", f"crd/{CRD}")
        return notes

    def get(self, kind: str, name: str = "fastchat-operator") -> dict:
        """An object of the release, as the API server has it."""
        return yaml.safe_load(self._kubectl("get", kind, name, f"--namespace={self.namespace}", "--output=yaml"))

    def settings(self) -> str:
        """The operator's settings file."""
        return self.get("configmap")["data"]["operator.yaml"]


@pytest.fixture(scope="package")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    with or_skip():
        return Helm(tools("helm")["helm"], tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="package")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server of our own: a release owns the CRD, which other tests have in theirs."""
    with or_skip():
        server = ApiServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        server.kubectl("create", "namespace", "fastchat-system")
        server.kubectl("label", "namespace", "fastchat-system", "pod-security.kubernetes.io/enforce=restricted")
        yield server
    finally:
        server.stop()


@pytest.fixture
def make_namespace(api_server) -> Callable[[], str]:
    """Makes an empty namespace and tells its name."""

    def make() -> str:
        name = f"chart-{next(_NUMBERS)}"
        api_server.kubectl("create", "namespace", name)
        return name

    return make


@pytest.fixture
def release(helm, api_server) -> Iterator[Release]:
    """A release that is yet to be installed. Its CRD stays for the next, models do not."""
    helm.kubeconfig = api_server.kubeconfig
    release = Release(helm, api_server.kubectl, "fastchat-system")
    yield release
    release.helm("uninstall", "--ignore-not-found")
    if api_server.kubectl("get", "crd", CRD, "--ignore-not-found"):
        api_server.kubectl("delete", "modeldeployments", "--all", "--all-namespaces")
