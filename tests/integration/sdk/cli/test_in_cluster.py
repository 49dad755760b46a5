"""A gateway in a cluster, reached through a real API server with a kubeconfig."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from support.eventually import PATIENCE_SECONDS, eventually
from support.gateways import GatewayProcess
from support.tools.terminal import Terminal

from fastchat.cli import connection
from fastchat.cli.main import main

from .scripted import Scripted

NAMESPACE = "people"
HERE = {"namespace": NAMESPACE}


@pytest.fixture(scope="module")
def address() -> str:
    """An address of this machine to which the API server passes requests on; it does not to loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


@pytest.fixture
def apply(api_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes objects into the namespace; the kubeconfig is that of the environment."""
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))

    def write(*objects: dict[str, Any]) -> None:
        (tmp_path / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        api_server.kubectl("apply", f"--filename={tmp_path / 'objects.json'}")

    write({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    return write


@pytest.fixture
def gateway(api_server, address: str, apply: Callable[..., None]) -> Iterator[Scripted]:
    """What the namespace's Service leads to."""
    scripted, listener = Scripted(endless_after=0), socket.create_server((address, 0))
    server = uvicorn.Server(uvicorn.Config(scripted.app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    port = listener.getsockname()[1]
    _pod(api_server, apply, "behind-the-service", address, port)
    meta = {"name": "fastchat-gateway", **HERE}
    ports = [{"name": "http", "port": 80, "targetPort": port}]
    pod = {"kind": "Pod", "name": "behind-the-service", **HERE}
    subset = {"addresses": [{"ip": address, "targetRef": pod}], "ports": [{"name": "http", "port": port}]}
    apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}},
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {"kubernetes.io/service-name": "fastchat-gateway"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}, "targetRef": pod}],
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        },
    )
    with connection.server(None, None, NAMESPACE).http() as http:  # the API server hears of endpoints a little later
        eventually(lambda: http.get("/v1/models").status_code == 200)
    yield scripted
    server.should_exit = True
    thread.join(PATIENCE_SECONDS)


def test_a_chat_streams_through_the_api_server_and_ctrl_c_reaches_the_gateway(
    gateway: Scripted, tmp_path: Path
) -> None:
    chat = Terminal("chat", "-n", NAMESPACE, "--api-key", "secret", env={"XDG_STATE_HOME": str(tmp_path)})
    chat.says(">>> ")
    chat.types("Count.")
    chat.says("and and")
    chat.presses("ctrl-c")
    chat.says("stopped")
    eventually(lambda: gateway.left == 1)
    headers = gateway.headers[-1]
    assert (headers["x-api-key"], headers.get("authorization")) == ("secret", None)
    chat.presses("ctrl-d")
    assert chat.ends()[0] == 0


def test_a_namespace_without_a_gateway_is_told(
    apply: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["ask", "Hello!", "-n", "nowhere", "-m", "m"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert 'services "fastchat-gateway" not found' in err
    assert "a namespace gets its gateway with its first ModelDeployment" in err


def test_who_may_not_reach_gateways_is_told_who_may(
    api_server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig_for("nobody")))
    assert main(["bench", "-n", NAMESPACE]) == 1
    err = capsys.readouterr().err
    assert 'cannot get resource "services/proxy"' in err
    assert "who has the ClusterRole edit may" in err


def test_usage_is_that_of_all_gateways_of_a_namespace(
    address: str,
    api_server,
    apply: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["keys", "create", "alice", f"--dir={tmp_path / 'keys'}"])
    key = capsys.readouterr().out.strip()
    monkeypatch.setenv("FASTCHAT_INTERNAL_TOKEN", "token")
    gateway = GatewayProcess(f"--host={address}", f"--keys-dir={tmp_path / 'keys'}", "--worker=http://127.0.0.1:1")
    url = gateway.url.replace("127.0.0.1", address)
    try:
        eventually(lambda: httpx.get(f"{url}/health").status_code == 200, ignoring=(httpx.TransportError,))
        for _ in range(2):
            httpx.post(f"{url}/v1/chat/completions", headers={"x-api-key": key}, json={"model": "none", "messages": []})
        _pod(api_server, apply, "fastchat-gateway-0", address, int(url.rpartition(":")[2]))
        assert main(["keys", "usage", "-n", NAMESPACE]) == 0
        in_cluster = capsys.readouterr().out
        assert main(["keys", "usage", "--url", url]) == 0
        assert capsys.readouterr().out == in_cluster
        assert in_cluster.splitlines()[-1].split() == ["alice", "2", "2", "0", "0"]
        monkeypatch.setenv("FASTCHAT_INTERNAL_TOKEN", "")
        assert main(["keys", "usage", "--url", url]) == 1
        assert "set FASTCHAT_INTERNAL_TOKEN to the gateway's" in capsys.readouterr().err
    finally:
        gateway.popen.kill()
        gateway.popen.wait()


def _pod(api_server, apply: Callable[..., None], name: str, address: str, port: int) -> None:
    """A pod of the gateway, as kubelet would report it, and the namespace's internal token."""
    is_gateway = {"app.kubernetes.io/managed-by": "fastchat-operator", "app.kubernetes.io/component": "gateway"}
    labels = is_gateway if name == "fastchat-gateway-0" else {}
    container = {"name": "gateway", "image": "x", "ports": [{"name": "http", "containerPort": port}]}
    apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", **HERE}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "fastchat-internal", **HERE},
            "stringData": {"token": "token"},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **HERE, "labels": labels},
            "spec": {"containers": [container], "automountServiceAccountToken": False},
        },
    )
    status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
    patch = ("--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")
    api_server.kubectl("patch", "pod", name, f"--namespace={NAMESPACE}", *patch)
