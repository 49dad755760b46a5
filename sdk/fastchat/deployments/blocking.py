"""`Deployments`: ModelDeployments of a namespace, by calls that block."""

import builtins
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from fastchat._kube import location, request
from fastchat._kube.access import Access
from fastchat._kube.errors import RelistNeeded
from fastchat._kube.request import Request
from fastchat._kube.sync import Client
from fastchat._kube.watch import Backoff
from fastchat.deployments import logs, readiness
from fastchat.deployments.calls import MANAGER, Watch, creation, rescaling, several
from fastchat.deployments.events import DeploymentEvent
from fastchat.deployments.failures import explained
from fastchat.deployments.logs import LogLine
from fastchat.deployments.objects import KIND, Given, body_of, deployment_of
from fastchat.deployments.readiness import Callback
from fastchat.deployments.table import DeploymentList
from fastchat.errors import KubernetesError
from fastchat.v1alpha1.deployment import ModelDeployment


class Deployments:
    """The ModelDeployments of a namespace. Threads may share it.

        with Deployments(namespace="team-a") as deployments:
            deployments.apply(manifest("vicuna", "hf://lmsys/vicuna-7b-v1.5", gpus=1))
            deployments.wait_ready("vicuna", progress=print)

    Which cluster, and who one is there, is what kubectl would take: a kubeconfig, or in a pod its ServiceAccount.
    """

    def __init__(
        self, namespace: str | None = None, *, context: str | None = None, kubeconfig: str | None = None
    ) -> None:
        """
        Args:
            namespace: None: that of the context, or of the pod.
            context: of the kubeconfig; None: the current one.
            kubeconfig: a file; None: those of KUBECONFIG, else the one in the home folder, else what a pod has.

        Nothing is read or connected before the first call.
        """
        self._namespace, self._context, self._kubeconfig = namespace, context, kubeconfig
        self._opening = threading.Lock()
        self._opened: tuple[Client, Access] | None = None

    @property
    def namespace(self) -> str:
        """Where ModelDeployments are that name no namespace; raises KubernetesError."""
        return self._namespace or self._connected()[1].namespace

    def create(self, deployment: Given) -> ModelDeployment:
        """Make a new one; as the API server has it.

        Raises:
            DeploymentConflictError: there is one of that name.
            DeploymentInvalidError: names the fields that are wrong.
            KubernetesError: refused, or not reached.
        """
        return deployment_of(self.send(creation(body_of(deployment, self.namespace))))

    def apply(self, deployment: Given, *, force: bool = False) -> ModelDeployment:
        """Make one, or change the one that is there to what is set here: server-side apply, as manager `fastchat`.

        What others have set, such as `replicas` by the autoscaler, stays. `force`: take over what they own.

        Raises:
            DeploymentConflictError: somebody else owns a field that this would change.
            DeploymentInvalidError: names the fields that are wrong.
            KubernetesError: refused, or not reached.
        """
        body = body_of(deployment, self.namespace)
        return deployment_of(self.send(request.apply(KIND, body, MANAGER, force=force)))

    def get(self, name: str) -> ModelDeployment:
        """Raises DeploymentNotFoundError, KubernetesError."""
        return deployment_of(self.send(request.get(KIND, self.namespace, name)))

    def list(self, *, all_namespaces: bool = False) -> DeploymentList:
        """All of the namespace, or of the cluster, by name; raises KubernetesError."""
        return several(self.send(request.listing(KIND, None if all_namespaces else self.namespace)))

    def watch(self, name: str | None = None, *, timeout: float | None = None) -> Iterator[DeploymentEvent]:
        """Those that are there, then every change, of one or of all; for `timeout` seconds, None: for ever.

        A connection that breaks is made again.

        Raises:
            KubernetesError: refused, or not reached at the beginning.
        """
        watch, backoff = Watch(self.namespace, name, timeout), Backoff()
        while not watch.over:
            began = time.monotonic()
            try:
                if watch.must_list:
                    yield from watch.listed(self.send(watch.listing))
                yield from self._watched(watch)
            except (KubernetesError, RelistNeeded) as error:
                watch.failed(error)
                time.sleep(min(backoff.after(time.monotonic() - began), watch.left))

    def scale(self, name: str, replicas: int) -> ModelDeployment:
        """So many workers. With `spec.autoscaling` that holds until the demand, or a bound, wants another number.

        Raises:
            DeploymentInvalidError: not a number of workers.
            DeploymentNotFoundError, KubernetesError.
        """
        self.send(rescaling(self.namespace, name, replicas))
        return self.get(name)

    def delete(self, name: str) -> None:
        """Delete it; its workers go afterwards. Raises DeploymentNotFoundError, KubernetesError."""
        self.send(request.delete(KIND, self.namespace, name))

    def wait_ready(
        self,
        name: str,
        *,
        timeout: float = readiness.TIMEOUT_SECONDS,
        patience: float = readiness.PATIENCE_SECONDS,
        progress: Callback | None = None,
    ) -> ModelDeployment:
        """Wait until all its workers run what `spec` says and are ready, and the gateway serves them.

        One with autoscaling that sleeps counts as ready: the first request wakes it.

        Args:
            timeout: seconds; math.inf waits for ever.
            patience: for so many seconds it must say that it cannot work before that is believed. Where nodes are
                made on demand, give it the time that a node takes.
            progress: is called with the ModelDeployment whenever its status has changed.

        Raises:
            DeploymentFailedError: it cannot get ready; the message has the root cause.
            DeploymentTimeoutError: it is not ready in time; the message has what it waits for.
            DeploymentNotFoundError, KubernetesError.
        """
        waiting = readiness.Waiting(name, timeout, patience, progress, time.monotonic)
        while True:
            try:
                if waiting.see(deployment := self.get(name)):
                    return deployment
            except KubernetesError as error:
                waiting.missed(error)
            time.sleep(readiness.LOOK_SECONDS)

    def logs(
        self,
        name: str | None,
        *,
        follow: bool = False,
        tail: int | None = None,
        previous: bool = False,
    ) -> Iterator[LogLine]:
        """What the workers of a ModelDeployment have written; of None the namespace's gateway.

        Args:
            follow: go on with what they write, also those that come later, until the caller stops.
            tail: only so many of the last lines of each pod.
            previous: what was written before the container was last restarted.

        Raises:
            DeploymentNotFoundError: there are no pods, and no ModelDeployment.
            KubernetesError: refused, not reached, or there is no log yet; why.
        """
        namespace, source = self.namespace, logs.source_of(name)

        def find() -> builtins.list[str]:
            return logs.names(self.send(request.listing(logs.POD, namespace, source.selector)).get("items") or ())

        def read(pod: str, follow: bool) -> Iterator[bytes]:
            return self._read(
                request.log(namespace, pod, source.container, follow=follow, tail=tail, previous=previous)
            )

        if name and not find():
            self.get(name)
        yield from logs.Followed(find, read) if follow else logs.written(find(), read)

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        with self._opening:
            opened, self._opened = self._opened, None
        if opened:
            opened[0].__exit__()

    def send(self, wanted: Request) -> dict[str, Any]:
        """What the API server says; raises KubernetesError."""
        client, access = self._connected()
        with explained(access.server):
            return client.send(wanted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, wanted: Request) -> Iterator[bytes]:
        client, access = self._connected()
        with explained(access.server), client.stream(wanted, None) as pieces:
            yield from pieces

    def _watched(self, watch: Watch) -> Iterator[DeploymentEvent]:
        client, access = self._connected()
        wanted, silence = watch.next_request()
        with explained(access.server), client.stream(wanted, silence) as pieces:
            for piece in pieces:
                yield from watch.heard(piece)

    def _connected(self) -> tuple[Client, Access]:
        with self._opening, explained():
            if self._opened is None:
                access = location.for_a_person(self._kubeconfig, self._context)
                self._opened = (Client(access, MANAGER).__enter__(), access)
            return self._opened
