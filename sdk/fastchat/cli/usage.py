"""What each API key has used, as gateways count it in /metrics."""

import base64
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from fastchat.cli.connection import Server
from fastchat.cli.errors import CommandError

if TYPE_CHECKING:
    from fastchat._kube.access import Access
    from fastchat._kube.sync import Client

_SAMPLE = re.compile(r'fastchat_gateway_(requests|tokens)_total\{(.*)\} ([0-9.eE+]+)')  # fmt: skip
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass
class Usage:
    """Of one key, since the gateways began."""

    requests: int = 0
    failed: int = 0
    """Of them, those that came to nothing because of the server."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class Usages:
    """Of all keys, of all gateways together; the empty name is that of requests without a key."""

    gateways: int = 0
    by_key: dict[str, Usage] = field(default_factory=dict)

    def add(self, metrics: str) -> None:
        """Count what one gateway tells."""
        self.gateways += 1
        for family, labels, value in _samples(metrics):
            usage = self.by_key.setdefault(labels.get("key", ""), Usage())
            if family == "requests":
                usage.requests += value
                usage.failed += value * (labels.get("outcome") in ("server_error", "broken"))
            elif labels.get("direction") == "in":
                usage.prompt_tokens += value
            else:
                usage.completion_tokens += value


def _samples(metrics: str) -> Iterator[tuple[str, dict[str, str], int]]:
    """Family, labels and value; without what is of neither a key nor a model, such as a scrape of these metrics."""
    for line in metrics.splitlines():
        if found := _SAMPLE.match(line):
            labels = {name: _unescaped(value) for name, value in _LABEL.findall(found[2])}
            if labels.get("key") or labels.get("model"):
                yield found[1], labels, int(float(found[3]))


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value)


def of_server(url: str) -> Usages:
    """Of one gateway at an address, with the internal token of the environment where there is one.

    Raises:
        CommandError: it does not tell.
    """
    from fastchat.v1alpha1.names import INTERNAL_TOKEN_VARIABLE

    usages = Usages()
    usages.add(_metrics(Server(url, os.environ.get(INTERNAL_TOKEN_VARIABLE) or None)))
    return usages


def of_namespace(namespace: str | None, context: str | None, kubeconfig: str | None) -> Usages:
    """Of all gateways of a namespace, each asked through the API server with the namespace's internal token.

    Raises:
        CommandError: one of them does not tell, or there is none.
        KubeError: the API server refuses.
    """
    from fastchat._kube import location
    from fastchat._kube.sync import Client

    access, usages = location.for_a_person(kubeconfig, context), Usages()
    where = namespace or access.namespace
    with Client(access, "fastchat") as client:
        token, pods = _token(client, where), _gateways(client, where)
    for name, port in pods:
        usages.add(_metrics(_of_pod(access, where, name, port, token)))
    if not usages.gateways:
        raise CommandError(f"no gateway runs in namespace {where}: one comes with its first ModelDeployment")
    return usages


def _of_pod(access: "Access", namespace: str, name: str, port: int, token: str) -> Server:
    return Server(f"{access.server}/api/v1/namespaces/{namespace}/pods/http:{name}:{port}/proxy", token, access)


def _token(client: "Client", namespace: str) -> str:
    from fastchat._kube import request
    from fastchat._kube.kind import Kind
    from fastchat.v1alpha1.names import INTERNAL

    secret = client.send(request.get(Kind("v1", "Secret", "secrets"), namespace, INTERNAL))
    return base64.b64decode((secret.get("data") or {}).get("token", "")).decode()


def _gateways(client: "Client", namespace: str) -> list[tuple[str, int]]:
    """Name and port of each running pod."""
    from fastchat._kube import request
    from fastchat._kube.kind import Kind
    from fastchat.v1alpha1.names import COMPONENT_LABEL, MANAGED_BY

    labels = {**MANAGED_BY, COMPONENT_LABEL: "gateway"}
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    listed = client.send(request.listing(Kind("v1", "Pod", "pods"), namespace, selector))
    running = [pod for pod in listed.get("items", ()) if pod.get("status", {}).get("phase") == "Running"]
    return [(pod["metadata"]["name"], _port(pod)) for pod in running]


def _port(pod: dict[str, Any]) -> int:
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
    return next((int(port["containerPort"]) for port in ports if port.get("name") == "http"), 8000)


def _metrics(server: Server) -> str:
    try:
        with server.http(timeout=30) as http:
            response = http.get("/metrics")
    except httpx.HTTPError as error:
        raise CommandError(f"cannot reach {server.base_url}: {error}; say where the gateway is with --url") from None
    if response.status_code == 401:
        raise CommandError("usage is told to who has the internal token: set FASTCHAT_INTERNAL_TOKEN to the gateway's")
    if response.status_code != 200 or "fastchat_gateway_" not in response.text:
        raise CommandError(f"{server.base_url} tells no usage ({response.status_code}): is it a gateway of FastChat?")
    return response.text
