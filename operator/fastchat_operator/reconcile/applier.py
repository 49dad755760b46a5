"""All that the operator writes about models and gateways, so that each rule of writing stands once.

Only what differs is written. What somebody changes back again and again is written ever more rarely (`contest`), what
would replace pods unasked waits for its turn (`turns`). What was written is in the store before anybody looks again.
How often the API server may be called, its client knows (`kube.api`); when a failure is tried again, the queue.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from fastchat._kube import request
from fastchat._kube.errors import ApiError
from fastchat._kube.kind import Object
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.status import Status
from fastchat_operator.key import Key, ModelKey
from fastchat_operator.kube.api import FIELD_MANAGER, Api
from fastchat_operator.kube.events import tell
from fastchat_operator.kube.kind import MODEL_DEPLOYMENT, kind_of
from fastchat_operator.kube.meta import HASH_ANNOTATION, is_ours, owner_name
from fastchat_operator.kube.token import Tokens
from fastchat_operator.observe.cause import Cause
from fastchat_operator.observe.drift import drifted
from fastchat_operator.plan.workloads import progress, workload_of
from fastchat_operator.reconcile.contest import ContestedError, Contests, Subject, rival_of, words
from fastchat_operator.reconcile.turns import Turns
from fastchat_operator.store import Store

logger = logging.getLogger(__name__)

_Written = TypeVar("_Written")


class Applier:
    """Writes to one cluster."""

    def __init__(
        self, api: Api, store: Store, tokens: Tokens, contests: Contests, wake: Callable[[Iterable[Key]], None]
    ) -> None:
        """`wake` has keys reconciled that a write concerns."""
        self._api = api
        self._store = store
        self._tokens = tokens
        self._contests = contests
        self._wake = wake
        self._turns = Turns()

    async def apply(self, planned: Iterable[dict[str, Any]]) -> ApiError | None:
        """Apply what differs from what is there, each object after the Secret that pods need.

        Returns:
            The first refusal of an object; the other objects are applied all the same. None: all were applied.

        Raises:
            ApiError: The API server was not reached, or had too much to do.
        """
        refused = None
        for desired in planned:
            try:
                await self._tokens.ensure(desired["metadata"]["namespace"])
                await self._apply(desired)
            except ApiError as error:
                if not error.refusal:
                    raise
                refused = refused or error
        return refused

    async def _apply(self, desired: dict[str, Any]) -> None:
        meta = desired["metadata"]
        there = self._store.find(kind_of(desired), meta["namespace"], meta["name"])
        async with self._turns.take(desired, there, self._store.workloads) as permitted:
            await self._apply_difference(permitted, there)

    async def _apply_difference(self, desired: dict[str, Any], there: Object | None) -> None:
        kind, meta = kind_of(desired), desired["metadata"]
        if not drifted(desired, there):
            return
        _must_not_belong_to_others(desired, there or await self._api.get(kind, meta["namespace"], meta["name"]))
        mark = meta["annotations"][HASH_ANNOTATION]
        self._see(await self._write(Subject.of(desired), mark, lambda: self._api.apply(desired)))
        logger.info("%s %s/%s: %s", kind.name, meta["namespace"], meta["name"], "changed" if there else "created")

    async def _write(self, subject: Subject, mark: str, send: Callable[[], Awaitable[_Written]]) -> _Written:
        """Send what says `mark`; raises ContestedError while somebody would undo it at once, and ApiError."""
        wait, rival = self._contests.wait(subject), ""
        if wait:
            raise ContestedError(words(subject, self._contests.rival(subject)), wait)
        if self._contests.contested(subject, mark):
            live = await self._api.get(subject.kind, subject.namespace, subject.name)
            rival = rival_of(live, subject.subresource)
        written = await send()
        self._contests.wrote(subject, mark, rival)
        return written

    def _see(self, written: Object) -> None:
        self._wake(self._store.see(kind_of(written), written))

    def pass_turn(self, key: Key) -> None:
        """Wake those that wait for this workload, if it is ready or gone."""
        self._wake(self._turns.next(key, self._store.workload(key)))

    def contested(self, subject: Subject) -> Cause | None:
        """Who undoes what is written to a subject; None: nobody lately."""
        rival = self._contests.rival(subject)
        return Cause("Contested", words(subject, rival)) if rival else None

    def trouble(self, refused: ApiError | None, subjects: Iterable[Subject]) -> Cause | None:
        """What keeps objects from being as planned, or lately did; `refused` as `apply` returned it."""
        if refused is not None and not isinstance(refused, ContestedError):
            return Cause("ApplyFailed", str(refused))
        return next(filter(None, map(self.contested, subjects)), None)

    async def write_status(self, key: ModelKey, status: Status) -> bool:
        """Whether it was written; it is not where the ModelDeployment was deleted meanwhile. Raises ApiError."""
        subject = Subject.of_model(key, "status")
        mark = status.model_dump_json(exclude={"conditions": {"__all__": {"last_transition_time"}}})
        body = {
            "apiVersion": MODEL_DEPLOYMENT.api_version,
            "kind": MODEL_DEPLOYMENT.name,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        try:
            self._see(await self._write(subject, mark, lambda: self._api.apply(body, subject.subresource)))
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def scale(self, key: ModelKey, deployment: ModelDeployment, replicas: int) -> int:
        """As `rescale`; raises ContestedError as well."""
        subject = Subject.of_model(key, "scale")
        return await self._write(subject, str(replicas), lambda: rescale(self._api, deployment, replicas))

    def may_scale(self, key: ModelKey) -> bool:
        """Whether `scale` would be tried now: nobody has just undone it again and again."""
        return not self._contests.wait(Subject.of_model(key, "scale"))

    async def annotate(self, thing: Object, annotations: dict[str, str]) -> None:
        """Put annotations on an object, if it is still the same one; raises ApiError."""
        metadata = thing["metadata"]
        body = {"metadata": {"uid": metadata["uid"], "annotations": annotations}}
        path = kind_of(thing).path(metadata["namespace"], metadata["name"])
        await self._api.send(request.merge(path, body))

    async def retry_pods(self, key: Key) -> None:
        """Have pods that were refused tried again: what was in the way, a quota for example, may be gone by now.

        Raises:
            ApiError: The workload was not written.
        """
        there = self._store.workload(key)
        if there is None or progress(there).refused is None:
            return
        body = workload_of(there).retry(there, time.time())
        if body is not None:
            path = kind_of(there).path(there["metadata"]["namespace"], there["metadata"]["name"])
            self._see(await self._api.send(request.merge(path, body, FIELD_MANAGER)))

    async def delete(self, thing: Object) -> None:
        """Delete an object, or find that it is gone; raises ApiError."""
        await self._api.delete(kind_of(thing), thing["metadata"]["namespace"], thing["metadata"]["name"])

    async def tell(self, deployment: ModelDeployment, reason: str, message: str) -> None:
        """Put an Event on a ModelDeployment; one that cannot be written is only logged."""
        await tell(self._api, deployment, reason, message)


async def rescale(api: Api, deployment: ModelDeployment, replicas: int) -> int:
    """Write its replicas; the version that this made. Raises ApiError, 409 where the deployment has changed since."""
    path = MODEL_DEPLOYMENT.path(deployment.metadata.namespace, deployment.metadata.name, "scale")
    body = {"metadata": {"resourceVersion": deployment.metadata.resource_version}, "spec": {"replicas": replicas}}
    scale = await api.send(request.merge(path, body, FIELD_MANAGER))
    return int(scale["metadata"]["resourceVersion"])


def _must_not_belong_to_others(desired: Object, there: Object | None) -> None:
    """Raises ApiError where somebody else made an object under this name: it is not taken over."""
    if there is None:
        return
    what = f"{desired['kind']} {desired['metadata']['name']!r}"
    if not is_ours(there):
        raise ApiError(400, f"{what} exists already and was not made by FastChat: rename or delete it")
    if owner_name(there) not in (None, owner_name(desired)):
        raise ApiError(400, f"{what} belongs to the ModelDeployment {owner_name(there)!r}: rename one of the two")
