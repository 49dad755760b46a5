"""The gateway as a process with what a pod has: no kubeconfig, but the files of its ServiceAccount."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys

import httpx
import pytest
from support.eventually import eventually_async as eventually

ACCOUNT = "fastchat-gateway"
AS_IN_A_POD = """
run=$(readlink -f /var/run) && mount -t tmpfs none "$run" && mkdir -p "$run/secrets/kubernetes.io/serviceaccount"
mount --bind "$1" "$run/secrets/kubernetes.io/serviceaccount" && shift && exec "$@"
"""


class Account:
    """The gateway's ServiceAccount, and the folder that a pod has of it."""

    def __init__(self, api_server, namespace, folder) -> None:
        self._url = f"{api_server.url}/apis/fastchat.io/v1alpha1/namespaces/{namespace}/modeldeployments"
        self._kubectl = lambda *arguments: api_server.kubectl(f"--namespace={namespace}", *arguments)
        self._kubectl("create", "serviceaccount", ACCOUNT)
        self._issued = 0
        self.folder = folder
        self.folder.mkdir()
        cluster = json.loads(api_server.kubeconfig.read_text())["clusters"][0]["cluster"]
        (folder / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        (folder / "namespace").write_text(namespace)

    def issue_token(self) -> None:
        """Put a new token in place. Each is valid for as long as a Secret of its own is there."""
        self._issued += 1
        secret = f"token-{self._issued}"
        self._kubectl("create", "secret", "generic", secret)
        bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
        self._token = self._kubectl("create", "token", ACCOUNT, *bound).strip()
        (self.folder / "token").write_text(self._token)

    async def rotate_token(self) -> None:
        """Put a new token in place; returns when the one before is not valid any more."""
        old = self._token
        self.issue_token()
        self._kubectl("delete", "secret", f"token-{self._issued - 1}")
        headers = {"Authorization": f"Bearer {old}"}
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:

            async def is_refused() -> bool:
                return (await client.get(self._url, headers=headers)).status_code == 401

            await eventually(is_refused)  # the API server remembers for ten seconds that it was valid


@pytest.fixture
def account(api_server, team, tmp_path):
    account = Account(api_server, team.name, tmp_path / "serviceaccount")
    account.issue_token()
    return account


@pytest.fixture
def url(account, relay):
    """Of a gateway process that knows only what a pod knows."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root can give a process the files of a pod, with unshare")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", AS_IN_A_POD, "sh", str(account.folder)]
    command += [sys.executable, "-m", "fastchat_gateway", "--kubernetes", "--host=127.0.0.1", f"--port={port}"]
    known = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "POD_NAMESPACE")}
    known |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(relay.port)}
    process = subprocess.Popen(command, env=known)
    try:
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def client(url):
    async with httpx.AsyncClient(base_url=url, verify=False, trust_env=False) as client:
        yield client


async def test_a_gateway_in_a_pod_serves_its_own_namespace_and_takes_up_a_new_token(
    client, account, relay, team
) -> None:
    async def names():
        with contextlib.suppress(httpx.TransportError):
            return {card["id"] for card in (await client.get("/v1/models")).json().get("data", [])}

    async def first():
        return await names() == {"m"}

    async def both():
        return await names() == {"m", "other"}

    await team.deploy()
    await eventually(first)
    assert (await client.get("/ready")).json() == {"status": "ok"}
    await account.rotate_token()
    await relay.cut()
    await relay.open()
    await team.deploy("other")
    await eventually(both)
