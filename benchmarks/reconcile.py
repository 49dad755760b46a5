"""Time from ModelDeployments made at once to their children, beside a bare loop that makes the same objects.

    python benchmarks/reconcile.py [--sizes 200 1000]

A real kube-apiserver with its etcd, the operator, and the client that makes the ModelDeployments share the machine. The
yardstick is an asyncio loop with the operator's own client that knows all objects beforehand: it watches nothing,
compares nothing and writes no status. Fails where a floor is missed. Takes about three minutes.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cluster.control_plane.apiserver import ApiServer, free_ports  # noqa: E402
from cluster.tools.binaries import tools  # noqa: E402

from fastchat._kube import request  # noqa: E402
from fastchat._kube.kind import Kind, Object  # noqa: E402
from fastchat._kube.kubeconfig import load  # noqa: E402
from fastchat.v1alpha1.deployment import ModelDeployment  # noqa: E402
from fastchat_operator.kube.api import Api  # noqa: E402
from fastchat_operator.kube.kind import DEPLOYMENT, MODEL_DEPLOYMENT, SERVICE, kind_of  # noqa: E402
from fastchat_operator.observe.drift import drifted  # noqa: E402
from fastchat_operator.plan import gateway, worker  # noqa: E402
from fastchat_operator.settings import Settings  # noqa: E402

FLOOR_SECONDS = {200: 10.0, 1000: 60.0}
"""Models: longest time from the last one to the last child."""
FLOOR_MIB = 200
NAMESPACE = "team"
CONCURRENCY = 16
RESYNC_SECONDS = 5
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Result:
    """One run of the operator; times in seconds from the first ModelDeployment."""

    made: float
    children: float
    statuses: float
    further_writes: int
    memory_mib: float
    cpu_seconds: float


@dataclass(frozen=True)
class Process:
    """A running operator, as the kernel sees it."""

    pid: int

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def most_memory_mib(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


# --------------------------------------------------------------------------------------------------------------------
# What is there
# --------------------------------------------------------------------------------------------------------------------


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """An API server with the CRD and an empty namespace."""
    with tempfile.TemporaryDirectory() as folder:
        server = ApiServer(Path(folder))
        try:
            server.start()
            server.kubectl("apply", f"--filename={ROOT / 'crds' / 'modeldeployments.fastchat.io.yaml'}")
            server.kubectl("wait", "--for=condition=Established", "crd/modeldeployments.fastchat.io")
            server.kubectl("create", "namespace", NAMESPACE)
            yield server
        finally:
            server.stop()


@contextmanager
def operator(kubeconfig: Path) -> Iterator[Process]:
    """An operator that knows what there is and waits for more."""
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "operator.yaml", Path(folder) / "log"
        config.write_text(json.dumps({"resyncSeconds": RESYNC_SECONDS}))
        command = [sys.executable, "-m", "fastchat_operator", f"--config={config}", f"--health-port={free_ports(1)[0]}"]
        with log.open("wb") as output:
            environ = os.environ | {"KUBECONFIG": str(kubeconfig)}
            process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
        try:
            while "acting on" not in log.read_text():
                if process.poll() is not None:
                    raise RuntimeError(log.read_text())
                time.sleep(0.1)
            time.sleep(1)  # kopf's watches begin after that
            yield Process(process.pid)
        finally:
            process.terminate()
            process.wait()


@asynccontextmanager
async def client(kubeconfig: Path) -> AsyncIterator[Api]:
    async with Api(load([kubeconfig])) as api:
        yield api


def models(count: int) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": MODEL_DEPLOYMENT.api_version,
            "kind": MODEL_DEPLOYMENT.name,
            "metadata": {"name": f"model-{number}", "namespace": NAMESPACE},
            "spec": {"model": {"source": f"hf://org/model-{number}"}, "gpus": 1},
        }
        for number in range(count)
    ]


async def how_many(api: Api, kind: Kind) -> int:
    """Objects of a kind, without reading them."""
    page = await api.send(request.listing(kind, NAMESPACE, limit=1))
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))


async def all_of(api: Api, kind: Kind) -> dict[str, Object]:
    return {each["metadata"]["name"]: each async for each in api.list(kind, NAMESPACE, "")}


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110  # the API server has the answer
            await asyncio.sleep(0.1)


async def require_planned(api: Api) -> None:
    """Raise unless every child is what its ModelDeployment asks for."""
    there = {kind: await all_of(api, kind) for kind in (DEPLOYMENT, SERVICE)}
    for resource in (await all_of(api, MODEL_DEPLOYMENT)).values():
        for desired in worker.plan(ModelDeployment.parse(resource), Settings()):
            name = desired["metadata"]["name"]
            if drifted(desired, there[kind_of(desired)].get(name)):
                raise RuntimeError(f"{desired['kind']} {name} is not as planned")


# --------------------------------------------------------------------------------------------------------------------
# The two ways
# --------------------------------------------------------------------------------------------------------------------


async def in_parallel(jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


async def make(api: Api, resource: dict[str, Any]) -> dict[str, Any]:
    return await api.send(request.create(MODEL_DEPLOYMENT, resource))


async def bare_loop(kubeconfig: Path, count: int) -> tuple[float, float]:
    """Seconds until everything is there, and CPU-seconds."""

    async with client(kubeconfig) as api:

        async def everything_of(resource: dict[str, Any]) -> None:
            made = ModelDeployment.parse(await make(api, resource))
            for child in worker.plan(made, Settings()):
                await api.apply(child)

        async def the_gateway() -> None:
            for each in gateway.plan(NAMESPACE, Settings()):
                await api.apply(each)

        began, cpu = time.monotonic(), time.process_time()
        await in_parallel([the_gateway, *(lambda each=each: everything_of(each) for each in models(count))])
        return time.monotonic() - began, time.process_time() - cpu


async def by_client(kubeconfig: Path, count: int) -> None:
    """As fast as one client can."""
    async with client(kubeconfig) as api:

        async def one(resource: dict[str, Any]) -> None:
            await make(api, resource)

        await in_parallel([lambda each=each: one(each) for each in models(count)])


async def by_kubectl(kubeconfig: Path, count: int) -> None:
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": models(count)})
    command = [str(tools("kubectl")["kubectl"]), f"--kubeconfig={kubeconfig}", "apply", "--filename=-"]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    await process.communicate(manifest.encode())
    if process.returncode:
        raise RuntimeError("kubectl apply failed")


async def measure(
    server: ApiServer, running: Process, count: int, make_all: Callable[[Path, int], Awaitable[None]]
) -> Result:
    async with client(server.kubeconfig) as api:

        async def children_there() -> bool:
            return await how_many(api, DEPLOYMENT) > count and await how_many(api, SERVICE) > count

        async def statuses_there() -> bool:
            return all("status" in each for each in (await all_of(api, MODEL_DEPLOYMENT)).values())

        began, cpu = time.monotonic(), running.cpu_seconds()
        await make_all(server.kubeconfig, count)
        made = time.monotonic() - began
        await until(children_there)
        children = time.monotonic() - began
        await until(statuses_there)
        statuses, spent = time.monotonic() - began, running.cpu_seconds() - cpu
        await require_planned(api)
    await asyncio.sleep(1)
    before = len(server.writes("fastchat-operator"))
    await asyncio.sleep(2 * RESYNC_SECONDS + 2)
    further = len(server.writes("fastchat-operator")) - before
    return Result(made, children, statuses, further, running.most_memory_mib(), spent)


def run(count: int, make_all: Callable[[Path, int], Awaitable[None]]) -> list[str]:
    """Measure and print; what missed its floor."""
    with api_server() as server:
        bare, bare_cpu = asyncio.run(bare_loop(server.kubeconfig, count))
    with api_server() as server, operator(server.kubeconfig) as running:
        result = asyncio.run(measure(server, running, count, make_all))
    after = result.children - result.made
    print(
        f"\n{count} ModelDeployments {make_all.__name__.replace('_', ' ')}\n"
        f"  bare loop  {bare:6.1f} s, {bare_cpu:5.1f} CPU-seconds\n"
        f"  operator   {result.children:6.1f} s ({result.children / bare:.2f} of the yardstick),"
        f" {result.cpu_seconds:5.1f} CPU-seconds\n"
        f"  the last child {after:.1f} s after the last ModelDeployment, the last status {result.statuses:.1f} s"
        f" after the first\n"
        f"  {result.further_writes} writes in two further passes over everything, {result.memory_mib:.0f} MiB at most",
        flush=True,
    )
    missed = {
        f"{count}: the last child came after {after:.1f} s": after > FLOOR_SECONDS.get(count, count * 0.06),
        f"{count}: a pass over what has not changed writes": result.further_writes > 0,
        f"{count}: more than {FLOOR_MIB} MiB of memory": result.memory_mib >= FLOOR_MIB,
    }
    return [text for text, is_so in missed.items() if is_so]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(FLOOR_SECONDS))
    args = parser.parse_args()
    missed = [each for count in args.sizes for each in run(count, by_client)]
    missed += run(min(args.sizes), by_kubectl)
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
