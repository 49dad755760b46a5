"""Pytest plugin: a real API server, a real cluster."""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

import pytest

from cluster import local
from cluster.client import Cluster
from cluster.control_plane.apiserver import ApiServer
from cluster.local import LocalCluster
from cluster.skips import NotHere, or_skip
from cluster.tools import binaries

KEPT = pytest.StashKey[list[Path]]()


@pytest.fixture(scope="session")
def api_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A kube-apiserver with etcd, the same for the whole test run."""
    folder = tmp_path_factory.mktemp("api-server")
    with _shown_or_skip(request.config):
        server = ApiServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder / "etcd")  # a hundred megabytes that tell nothing
        _keep_if_failed(request, folder)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster that KUBECONFIG names, or else this checkout's own, the same for the whole test run."""
    if external := _external():
        yield external
        return
    with ExitStack() as stack:
        with _shown_or_skip(request.config):
            own = stack.enter_context(local.used())
        yield own
    if not local.running():
        _keep_if_failed(request, own.logs_dir)


@pytest.fixture(scope="session")
def local_cluster(cluster: Cluster) -> LocalCluster:
    """This checkout's own cluster, for tests that reach into its node."""
    if not isinstance(cluster, LocalCluster):
        raise NotHere("reaches into the node, and KUBECONFIG names a cluster that is not the tests' own")
    return cluster


@pytest.fixture(scope="module")
def enforced_policies(request: pytest.FixtureRequest, local_cluster: LocalCluster) -> Iterator[None]:
    """NetworkPolicies are enforced on the pods that the file makes."""
    with ExitStack() as stack:
        with _shown_or_skip(request.config):
            stack.enter_context(local_cluster.enforcing_policies())
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for folder in config.stash.get(KEPT, []):
        terminalreporter.write_line(f"logs: {folder}")


def _external() -> Cluster | None:
    given = os.environ.get("KUBECONFIG")
    own = local.running()
    if not given or (own and Path(given) == own.kubeconfig):
        return None
    registry = os.environ.get("FASTCHAT_TEST_REGISTRY")
    if not registry:
        pytest.skip("KUBECONFIG names a cluster, but FASTCHAT_TEST_REGISTRY names no registry that it pulls from")
    return Cluster(Path(given), binaries.tools("kubectl")["kubectl"], registry, registry)


@contextmanager
def _shown_or_skip(config: pytest.Config) -> Iterator[None]:
    """Skip where something cannot be had; whoever waits sees what for, for a first run builds for minutes."""
    capture = config.pluginmanager.getplugin("capturemanager")
    uncaptured: AbstractContextManager[None] = capture.global_and_fixture_disabled() if capture else nullcontext()
    with or_skip(), uncaptured:
        yield


def _keep_if_failed(request: pytest.FixtureRequest, folder: Path) -> None:
    if request.session.testsfailed:
        request.config.stash.setdefault(KEPT, []).append(folder)
    else:
        shutil.rmtree(folder)
