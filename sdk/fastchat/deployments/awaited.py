"""`AsyncDeployments`: ModelDeployments of a namespace, by calls that are awaited."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from fastchat._kube import location, request
from fastchat._kube.access import Access
from fastchat._kube.errors import RelistNeeded
from fastchat._kube.light import LightAsyncClient
from fastchat._kube.request import Request
from fastchat._kube.watch import Backoff
from fastchat.deployments import readiness
from fastchat.deployments.calls import MANAGER, Watch, creation, rescaling, several
from fastchat.deployments.events import DeploymentEvent
from fastchat.deployments.failures import explained
from fastchat.deployments.objects import KIND, Given, body_of, deployment_of
from fastchat.deployments.readiness import Callback
from fastchat.deployments.table import DeploymentList
from fastchat.errors import KubernetesError
from fastchat.v1alpha1.deployment import ModelDeployment


class AsyncDeployments:
    """The ModelDeployments of a namespace, as `Deployments` has them. Tasks of one event loop may share it.

    async with AsyncDeployments(namespace="team-a") as deployments:
        await deployments.wait_ready("vicuna", progress=print)
    """

    def __init__(
        self, namespace: str | None = None, *, context: str | None = None, kubeconfig: str | None = None
    ) -> None:
        """Args as `Deployments` has them. Nothing is read or connected before the first call."""
        self._namespace, self._context, self._kubeconfig = namespace, context, kubeconfig
        self._opening = asyncio.Lock()
        self._opened: tuple[LightAsyncClient, Access] | None = None

    async def create(self, deployment: Given) -> ModelDeployment:
        """As `Deployments.create`."""
        return deployment_of(await self.send(creation(body_of(deployment, await self._place()))))

    async def apply(self, deployment: Given, *, force: bool = False) -> ModelDeployment:
        """As `Deployments.apply`."""
        body = body_of(deployment, await self._place())
        return deployment_of(await self.send(request.apply(KIND, body, MANAGER, force=force)))

    async def get(self, name: str) -> ModelDeployment:
        """Raises DeploymentNotFoundError, KubernetesError."""
        return deployment_of(await self.send(request.get(KIND, await self._place(), name)))

    async def list(self, *, all_namespaces: bool = False) -> DeploymentList:
        """All of the namespace, or of the cluster, by name; raises KubernetesError."""
        return several(await self.send(request.listing(KIND, None if all_namespaces else await self._place())))

    async def watch(self, name: str | None = None, *, timeout: float | None = None) -> AsyncIterator[DeploymentEvent]:  # noqa: ASYNC109  # when the events end, not how long a call may take
        """As `Deployments.watch`, by `async for`."""
        watch, backoff = Watch(await self._place(), name, timeout), Backoff()
        while not watch.over:
            began = time.monotonic()
            try:
                if watch.must_list:
                    for event in watch.listed(await self.send(watch.listing)):
                        yield event
                async for event in self._watched(watch):
                    yield event
            except (KubernetesError, RelistNeeded) as error:
                watch.failed(error)
                await asyncio.sleep(min(backoff.after(time.monotonic() - began), watch.left))

    async def scale(self, name: str, replicas: int) -> ModelDeployment:
        """As `Deployments.scale`."""
        await self.send(rescaling(await self._place(), name, replicas))
        return await self.get(name)

    async def delete(self, name: str) -> None:
        """Delete it; its workers go afterwards. Raises DeploymentNotFoundError, KubernetesError."""
        await self.send(request.delete(KIND, await self._place(), name))

    async def wait_ready(
        self,
        name: str,
        *,
        timeout: float = readiness.TIMEOUT_SECONDS,  # noqa: ASYNC109  # as the blocking one has it
        patience: float = readiness.PATIENCE_SECONDS,
        progress: Callback | None = None,
    ) -> ModelDeployment:
        """As `Deployments.wait_ready`."""
        waiting = readiness.Waiting(name, timeout, patience, progress, time.monotonic)
        while True:
            try:
                if waiting.see(deployment := await self.get(name)):
                    return deployment
            except KubernetesError as error:
                waiting.missed(error)
            await asyncio.sleep(readiness.LOOK_SECONDS)

    async def aclose(self) -> None:
        """Close the connections; the next call opens them again."""
        opened, self._opened = self._opened, None
        if opened:
            await opened[0].__aexit__()

    async def send(self, wanted: Request) -> dict[str, Any]:
        """What the API server says; raises KubernetesError."""
        client, access = await self._connected()
        with explained(access.server):
            return await client.send(wanted)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _place(self) -> str:
        """Where ModelDeployments are that name no namespace."""
        return self._namespace or (await self._connected())[1].namespace

    async def _watched(self, watch: Watch) -> AsyncIterator[DeploymentEvent]:
        client, access = await self._connected()
        wanted, silence = watch.next_request()
        with explained(access.server):
            async with client.stream(wanted, silence) as pieces:
                async for piece in pieces:
                    for event in watch.heard(piece):
                        yield event

    async def _connected(self) -> tuple[LightAsyncClient, Access]:
        async with self._opening:
            if self._opened is None:
                with explained():
                    access = await asyncio.to_thread(location.for_a_person, self._kubeconfig, self._context)
                    self._opened = (await LightAsyncClient(access, MANAGER).__aenter__(), access)
            return self._opened
