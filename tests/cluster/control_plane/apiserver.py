"""A kube-apiserver with its etcd and nothing else: enough for whatever only speaks to the Kubernetes API."""

import json
import random
import signal
import socket
import ssl
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from cluster.client import kubectl
from cluster.control_plane import audit, commands
from cluster.control_plane.pki import ADMIN_GROUP, Authority, write_secret
from cluster.control_plane.process import Process
from cluster.tools.binaries import api_server_tools

START_SECONDS = 180


class ApiServer:
    """A real API server on 127.0.0.1. RBAC and the default admission plugins are on.

    No controller runs: nothing makes a namespace's default ServiceAccount, collects owned objects, or ends a namespace.
    Data, ports and kubeconfigs stay the same from `stop` to `start`.

    Attributes:
        url: https://127.0.0.1:PORT
        kubeconfig: file of a cluster administrator
        kubectl_binary: the command itself
    """

    def __init__(self, folder: Path) -> None:
        """Use an empty folder; nothing runs before `start`.

        Raises:
            UnavailableError: the binaries can neither be found nor built here.
        """
        tools = api_server_tools()
        etcd_port, peer_port, port = free_ports(3)
        self.url = f"https://127.0.0.1:{port}"
        self.kubectl_binary, self._folder = tools["kubectl"], folder
        self._authority = Authority(folder / "pki")
        self.kubeconfig = self.kubeconfig_for("admin", [ADMIN_GROUP])
        self._audit = folder / "audit"
        self._audit.mkdir()
        (self._audit / "policy.json").write_text(json.dumps(audit.POLICY))
        server = self._authority.server("kube-apiserver", commands.HOSTS, ["127.0.0.1", commands.SERVICE_ADDRESS])
        keys = commands.Keys(self._authority.certificate, server, self._authority.service_accounts)
        command = commands.kube_apiserver(tools["kube-apiserver"], keys, etcd_port, "127.0.0.1", port, self._audit)
        self._server = Process(command, folder / "kube-apiserver.log")
        command = commands.etcd(tools["etcd"], folder / "etcd", etcd_port, peer_port)
        self._etcd = Process(command, folder / "etcd.log")

    def start(self) -> None:
        """Return when the API server is ready.

        Raises:
            RuntimeError: a process ended; the end of its log is in the message.
            TimeoutError: it is not ready after three minutes.
        """
        self._etcd.start()
        self._server.start()
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(self.url, self._authority.certificate):
            self._etcd.require()
            self._server.require()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url} is not ready after {START_SECONDS} s; logs in {self._folder}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Close every connection at once, as a crash does."""
        self._server.stop()
        self._etcd.stop()

    def pause(self) -> None:
        """Leave every connection open and answer nothing, as a hung server does."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._server.signal(signal.SIGCONT)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002
        """Output of kubectl as administrator. Raises RuntimeError with what it complained about."""
        return kubectl(self.kubectl_binary, self.kubeconfig, arguments, input)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Kubeconfig file of any user; a ServiceAccount's may do what the account may, exist or not."""
        text = self._authority.kubeconfig(self.url, user, groups)
        return self._write_kubeconfig(user, text)

    def service_account(self, namespace: str, name: str) -> Path:
        """Kubeconfig file with a token of an existing ServiceAccount, valid for an hour."""
        token = self.kubectl("create", "token", name, f"--namespace={namespace}").strip()
        text = self._authority.token_kubeconfig(self.url, token)
        return self._write_kubeconfig(f"system:serviceaccount:{namespace}:{name}", text)

    def writes(self, user_agent: str = "") -> list[str]:
        """Every successful write so far of clients whose user agent begins so; see `audit.writes`."""
        return audit.writes(self._audit / "log", user_agent)

    def _write_kubeconfig(self, user: str, text: str) -> Path:
        path = self._folder / f"{user.replace(':', '-')}.kubeconfig"
        write_secret(path, text)
        return path


def is_ready(url: str, authority: Path) -> bool:
    """Whether the API server says that it is."""
    trust = ssl.create_default_context(cafile=str(authority))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(f"{url}/readyz", timeout=2):
            return True
    except OSError:  # refused, or an HTTP status of "not yet"
        return False


def free_ports(count: int) -> list[int]:
    """Ports below those that the kernel gives to clients, so that none is taken while a server is being restarted."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port not in ports and probe.connect_ex(("127.0.0.1", port)):
                ports.append(port)
    return ports
