"""One reconciliation: collect what is there, plan what should be, apply the difference, report."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from fastchat.v1alpha1.deployment import Condition, Status
from fastchat.v1alpha1.names import GATEWAY, WORKERS
from fastchat_operator.key import GatewayKey, Key, ModelKey, key_of
from fastchat_operator.kube.api import Api, ApiError
from fastchat_operator.kube.events import tell
from fastchat_operator.kube.kind import DEPLOYMENT, MADE, MODEL_DEPLOYMENT, NETWORK_POLICY, Object, kind_of
from fastchat_operator.kube.meta import HASH_ANNOTATION as HASH
from fastchat_operator.kube.meta import is_ours, owner_name
from fastchat_operator.kube.token import Tokens
from fastchat_operator.observe.cause import Cause
from fastchat_operator.observe.drift import drifted
from fastchat_operator.observe.status import Observed, pod_refused, status_of
from fastchat_operator.plan import gateway, worker
from fastchat_operator.reconcile.contest import ContestedError, Contests, Subject, rival_of, words
from fastchat_operator.reconcile.retry import ask_to_retry
from fastchat_operator.reconcile.turns import Turns, in_the_way, needs_turn, with_pods_of
from fastchat_operator.settings import Settings
from fastchat_operator.store import Store

log = logging.getLogger(__name__)

_PASSING = {"Scheduling", "Starting"}
"""What a pod goes through in a moment."""


class Reconciler:
    """Brings the cluster to what the ModelDeployments say, one key at a time."""

    def __init__(
        self,
        api: Api,
        store: Store,
        settings: Settings,
        tokens: Tokens,
        contests: Contests,
        scaling: Callable[[ModelKey], Cause | None],
        wake: Callable[[Iterable[Key]], None],
    ) -> None:
        """`scaling` says why the autoscaler leaves a model as it is, `wake` has keys reconciled later."""
        self._api = api
        self._store = store
        self._settings = settings
        self._tokens = tokens
        self._contests = contests
        self._scaling = scaling
        self._wake = wake
        self._gateway_trouble: dict[str, Cause | None] = {}
        self._turns = Turns()

    async def reconcile(self, key: Key) -> None:
        """Make it so; raises ApiError where it could not, to be tried again."""
        self._wake(self._turns.next(key, self._store.workload(key)))
        if isinstance(key, GatewayKey):
            await self._reconcile_gateway(key.namespace)
            return
        deployment = self._store.model(key)
        if deployment is None or deployment.metadata.deletion_timestamp:
            return  # owner references take the children along
        taken = self._store.taken(deployment)
        refused, planned = None, list[dict[str, Any]]()
        if not any(name == deployment.name for name, _ in taken):
            planned = [*worker.plan(deployment, self._settings, self._store.workload(key))]
            refused = await self._apply(key.namespace, planned)
        seen = Observed(
            deployment,
            workers=self._store.workload(key),
            pods=self._store.pods(key),
            gateway=self._store.workload(GatewayKey(key.namespace)),
            gateway_pods=self._store.pods(GatewayKey(key.namespace)),
            taken=taken,
            trouble=self._trouble(refused, [*map(_subject, planned), _status_subject(key)]),
            gateway_trouble=self._gateway_trouble.get(key.namespace),
            scaling=self._scaling(key),
        )
        await self._report(key, seen)
        await self._ask_to_retry(seen.workers)
        if refused is not None:
            raise refused

    async def _ask_to_retry(self, workload: Object | None) -> None:
        if workload is not None and pod_refused(workload):
            written = await ask_to_retry(self._api, workload)
            self._wake(self._store.see(DEPLOYMENT, written) if written else ())

    async def _reconcile_gateway(self, namespace: str) -> None:
        """A gateway where there is a model, none where there is none."""
        wanted = any(not each.metadata.deletion_timestamp for each in self._store.models(namespace))
        there = self._store.workload(GatewayKey(namespace))
        planned = gateway.plan(namespace, self._settings, there) if wanted else ()
        refused = await self._apply(namespace, planned)
        self._note_trouble(namespace, self._trouble(refused, map(_subject, planned)))
        await self._ask_to_retry(self._store.workload(GatewayKey(namespace)) if wanted else None)
        if refused is not None:
            raise refused
        leftovers = self._leftovers(namespace, planned)
        if not wanted:
            if not (leftovers or self._tokens.find(namespace)) or not await self._really_empty(namespace):
                return
            await self._tokens.remove(namespace)
        for each in leftovers:
            await self._api.delete(kind_of(each), namespace, each["metadata"]["name"])

    def _note_trouble(self, namespace: str, trouble: Cause | None) -> None:
        """Every model of the namespace tells it in its status."""
        if trouble != self._gateway_trouble.get(namespace):
            self._gateway_trouble[namespace] = trouble
            self._wake(ModelKey(namespace, each.metadata.name) for each in self._store.models(namespace))

    def _trouble(self, refused: ApiError | None, subjects: Iterable[Subject]) -> Cause | None:
        """What keeps objects from being as planned, or lately did."""
        if refused is not None and not isinstance(refused, ContestedError):
            return Cause("ApplyFailed", str(refused))
        contested = ((subject, rival) for subject in subjects if (rival := self._contests.rival(subject)))
        return next((Cause("Contested", words(subject, rival)) for subject, rival in contested), None)

    def _leftovers(self, namespace: str, planned: Iterable[Object]) -> list[Object]:
        """What is there of a gateway and is not planned: all of it, or what a setting has taken out."""
        keep = {(kind_of(each), each["metadata"]["name"]) for each in planned}
        possible = [*((kind, GATEWAY) for kind in MADE), (NETWORK_POLICY, WORKERS)]
        found = [self._store.find(kind, namespace, name) for kind, name in possible if (kind, name) not in keep]
        return [each for each in found if each is not None and is_ours(each)]

    async def _really_empty(self, namespace: str) -> bool:
        """Ask once more before a gateway goes: what is known here may be behind."""
        async for _ in self._api.list(MODEL_DEPLOYMENT, namespace, ""):
            return False
        return True

    async def _apply(self, namespace: str, planned: Iterable[dict[str, Any]]) -> ApiError | None:
        """Apply what differs, after the Secret that pods need; the first refusal, the rest applied all the same."""
        refused = None
        for desired in planned:
            try:
                await self._tokens.ensure(namespace)
                await self._apply_one(desired)
            except ApiError as error:
                if not error.refusal:
                    raise
                refused = refused or error
        return refused

    async def _apply_one(self, desired: dict[str, Any]) -> None:
        kind, meta = kind_of(desired), desired["metadata"]
        there = self._store.find(kind, meta["namespace"], meta["name"])
        key = key_of(desired)
        if key is None or there is None or not needs_turn(desired, there):
            await self._apply_difference(desired, there)
            return
        async with self._turns.lock:
            before = in_the_way(key, self._store.workloads())
            if before is None:
                await self._apply_difference(desired, there)
                return
        log.info("%s: its pods are replaced when those of %s are ready", key, before)
        self._turns.wait(key, before)
        await self._apply_difference(with_pods_of(there, desired), there)

    async def _apply_difference(self, desired: dict[str, Any], there: Object | None) -> None:
        kind, meta = kind_of(desired), desired["metadata"]
        if not drifted(desired, there):
            return
        _must_not_belong_to_others(desired, there or await self._api.get(kind, meta["namespace"], meta["name"]))
        self._wake(self._store.see(kind, await self._write(_subject(desired), desired, meta["annotations"][HASH])))
        log.info("%s %s/%s: %s", kind.name, meta["namespace"], meta["name"], "changed" if there else "created")

    async def _write(self, subject: Subject, body: Object, mark: str) -> Object:
        """Apply what says `mark`; raises ContestedError where somebody has just undone that, and had been told."""
        wait, rival = self._contests.wait(subject), ""
        if wait:
            raise ContestedError(words(subject, self._contests.rival(subject)), wait)
        if self._contests.contested(subject, mark):
            live = await self._api.get(subject.kind, subject.namespace, subject.name)
            rival = rival_of(live, subject.subresource)
        written = await self._api.apply(body, subject.subresource or None)
        self._contests.wrote(subject, mark, rival)
        return written

    async def _report(self, key: ModelKey, seen: Observed) -> None:
        """Write the status where it has changed, and an Event where a person would want to know."""
        deployment, status = seen.deployment, status_of(seen)
        if status == deployment.status:
            return
        mark = status.model_dump_json(exclude={"conditions": {"__all__": {"last_transition_time"}}})
        body = {
            "apiVersion": MODEL_DEPLOYMENT.api_version,
            "kind": MODEL_DEPLOYMENT.name,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        try:
            self._wake(self._store.see(MODEL_DEPLOYMENT, await self._write(_status_subject(key), body, mark)))
        except ApiError as error:
            if error.status == 404:
                return  # deleted meanwhile
            raise
        for condition in _news(deployment.status, status):
            log.info("%s: %s %s: %s", key, condition.type, condition.reason, condition.message)
            await tell(self._api, deployment, condition.reason, condition.message)


def _subject(thing: Object) -> Subject:
    return Subject(kind_of(thing), thing["metadata"]["namespace"], thing["metadata"]["name"])


def _status_subject(key: ModelKey) -> Subject:
    return Subject(MODEL_DEPLOYMENT, key.namespace, key.name, "status")


def _must_not_belong_to_others(desired: Object, there: Object | None) -> None:
    """An object that somebody else made under this name is not taken over."""
    if there is None:
        return
    what = f"{desired['kind']} {desired['metadata']['name']!r}"
    if not is_ours(there):
        raise ApiError(400, f"{what} exists already and was not made by FastChat: rename or delete it")
    if owner_name(there) not in (None, owner_name(desired)):
        raise ApiError(400, f"{what} belongs to the ModelDeployment {owner_name(there)!r}: rename one of the two")


def _news(before: Status | None, now: Status) -> list[Condition]:
    """Of what a person would want to know: `Ready` where its cause is another than before, and lasts."""
    old = {each.type: (each.status, each.reason) for each in before.conditions} if before else {}
    return [
        each
        for each in now.conditions
        if each.type == "Ready" and each.reason not in _PASSING and old.get(each.type) != (each.status, each.reason)
    ]
