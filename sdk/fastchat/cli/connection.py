"""The server that a command talks to: at an address, or in a cluster.

A gateway in a cluster is reached through the API server's proxy for Services. It takes the credentials that kubectl
has and one right (`get` and `create` of `services/proxy`, which the ClusterRole `edit` has), it passes events on as
they come, and it ends the gateway's request when ours ends. The API server removes `Authorization`, which is its own,
before it passes a request on: the gateway's key travels as `x-api-key`.
"""

import contextlib
import ssl
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from fastchat._client.clients import Client
from fastchat._client.settings import Settings, resolve
from fastchat.cli.errors import CommandError
from fastchat.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
)

if TYPE_CHECKING:
    from fastchat._kube.access import Access
    from fastchat.api import Task

_WHERE = "say where it is with --url or FASTCHAT_BASEURL, or for a cluster's with --namespace NAME"


@dataclass(frozen=True)
class Server:
    """Where requests go, and what they carry."""

    base_url: str
    """Without `/v1`."""
    key: str | None = None
    access: "Access | None" = None
    """The cluster that it is in."""
    _tls: list[ssl.SSLContext] = field(default_factory=list, repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """Of every request, beside what the API server asks for."""
        if not self.key:
            return {}
        return {"x-api-key": self.key} if self.access else {"Authorization": f"Bearer {self.key}"}

    def http(self, timeout: float | None = Settings.timeout) -> httpx.Client:
        """A client of this server; its paths begin with `/v1`."""
        return httpx.Client(base_url=self.base_url, timeout=timeout, headers=self._headers(), **self._connecting())

    def http_async(self, timeout: float | None = Settings.timeout, connections: int | None = None) -> httpx.AsyncClient:
        """The same for asyncio, with at most so many connections."""
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return httpx.AsyncClient(
            base_url=self.base_url, timeout=timeout, headers=self._headers(), limits=limits, **self._connecting()
        )

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """The SDK's client of this server. What it raises has become a CommandError with the remedy."""
        with self.http() as http, Client(base_url=self.base_url, api_key="", http_client=http) as client, remedied():
            yield client

    def _headers(self) -> list[tuple[str, str]]:
        return [*self.headers.items(), *(self.access.headers if self.access else ())]

    def _connecting(self) -> dict[str, Any]:
        if self.access is None:
            return {}
        if not self._tls and self.base_url.startswith("https:"):
            self._tls.append(self.access.tls())
        verify = self._tls[0] if self._tls else False
        return {"auth": _AtApiServer(self.access), "verify": verify, "proxy": self.access.proxy}


class _AtApiServer(httpx.Auth):
    """What the API server knows us by, found out anew for each request: tokens expire."""

    def __init__(self, access: "Access") -> None:
        self._access = access

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        if value := self._access.credentials.authorization():
            request.headers["Authorization"] = value
        if self._access.server_name:
            request.extensions["sni_hostname"] = self._access.server_name
        response = yield request
        if response.status_code == 401:
            self._access.credentials.forget()


def server(
    url: str | None,
    api_key: str | None,
    namespace: str | None = None,
    context: str | None = None,
    kubeconfig: str | None = None,
) -> Server:
    """The server that a command line means.

    Raises:
        CommandError: an address or a key that can never work.
        KubeError: the cluster cannot be found.
    """
    in_cluster = namespace or context or kubeconfig
    if url and in_cluster:
        raise CommandError("--url and --namespace are two servers: give one of them")
    try:
        settings = resolve(url, api_key, Settings.timeout, Settings.max_retries)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if not in_cluster:
        return Server(settings.base_url, settings.api_key)
    return _in_cluster(settings.api_key, namespace, context, kubeconfig)


def _in_cluster(key: str | None, namespace: str | None, context: str | None, kubeconfig: str | None) -> Server:
    from fastchat._kube import location
    from fastchat.v1alpha1.names import GATEWAY

    access = location.for_a_person(kubeconfig, context)
    path = f"/api/v1/namespaces/{namespace or access.namespace}/services/http:{GATEWAY}:80/proxy"
    return Server(f"{access.server}{path}", key, access)


@contextlib.contextmanager
def remedied() -> Iterator[None]:
    """What the SDK raises, as an error of the command line; where we know it, with what to do."""
    try:
        yield
    except APITimeoutError as error:
        raise CommandError(_without_python(error.message)) from error
    except APIConnectionError as error:
        begun = "broke" in error.message or "ended without" in error.message
        raise CommandError(_without_python(error.message) + ("" if begun else f" If not, {_WHERE}.")) from error
    except AuthenticationError as error:
        raise CommandError(f"{_without_python(error.message)} Give it with --api-key or FASTCHAT_API_KEY.") from error
    except APIStatusError as error:
        raise CommandError(f"{error}{_remedy(error)}") from error


def _remedy(error: APIStatusError) -> str:
    """What to do about a refusal, where the server's words do not say it: the API server knows no gateways."""
    if isinstance(error, NotFoundError) and "services " in error.message:
        return "; a namespace gets its gateway with its first ModelDeployment (fastchat deploy)"
    if "no endpoints available" in error.message:
        return "; no gateway is ready there: fastchat doctor tells why"
    if isinstance(error, PermissionDeniedError) and "services/proxy" in error.message:
        return "; who has the ClusterRole edit may, and kubectl port-forward with --url is another way"
    return ""


def _without_python(message: str) -> str:
    """The SDK's message, without the names of its functions."""
    return message.partition(" Set the ")[0].partition(" Allow more ")[0]


def choose_model(client: Client, task: "Task", wanted: str | None) -> str:
    """The model that is wanted, else the first that the server has for this task.

    Raises:
        CommandError: it has none.
    """
    if wanted:
        return wanted
    fitting = models(client, task)
    if not fitting:
        raise CommandError(f"no model for this is served there (task {task}); deploy one, or give --model NAME")
    return fitting[0]


def models(client: Client, task: "Task") -> list[str]:
    """Names that the server has for this task; other servers than ours do not say the task."""
    return [card.id for card in client.models.list().data if card.task in (task, None)]
