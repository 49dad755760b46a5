"""One reconciliation: collect what is there, plan what should be, apply the difference, report."""

import logging
from collections.abc import Iterable
from typing import Any

from fastchat.deployment import Condition, ModelDeployment, Status
from fastchat_operator import gateway, worker
from fastchat_operator.api import Api, ApiError
from fastchat_operator.drift import drifted
from fastchat_operator.events import tell
from fastchat_operator.kind import MODEL_DEPLOYMENT, Object, kind_of
from fastchat_operator.meta import is_ours
from fastchat_operator.settings import Settings
from fastchat_operator.status import Observed, status_of
from fastchat_operator.store import Key, Store

log = logging.getLogger(__name__)


class Reconciler:
    """Brings the cluster to what the ModelDeployments say, one key at a time."""

    def __init__(self, api: Api, store: Store, settings: Settings) -> None:
        self._api = api
        self._store = store
        self._settings = settings

    async def reconcile(self, key: Key) -> None:
        """Make it so; raises ApiError where it could not, to be tried again."""
        if not key.name:
            await self._reconcile_gateway(key.namespace)
            return
        deployment = self._store.model(key)
        if deployment is None or deployment.metadata.deletion_timestamp:
            return  # owner references take the children along
        taken = self._store.taken(deployment)
        refused = None
        if not any(name == deployment.name for name, _ in taken):
            refused = await self._apply(worker.plan(deployment, self._settings))
        await self._report(key, deployment, Observed(
            deployment,
            self._store.workers(key),
            self._store.pods(key),
            self._store.gateway(key.namespace),
            taken,
            str(refused or ""),
        ))  # fmt: skip
        if refused is not None:
            raise refused

    async def _reconcile_gateway(self, namespace: str) -> None:
        """A gateway where there is a model, none where there is none."""
        if any(not each.metadata.deletion_timestamp for each in self._store.models(namespace)):
            refused = await self._apply(gateway.plan(namespace, self._settings))
            if refused is not None:
                raise refused
        elif self._leftovers(namespace) and await self._really_empty(namespace):
            for each in reversed(self._leftovers(namespace)):
                await self._api.delete(kind_of(each), namespace, each["metadata"]["name"])

    def _leftovers(self, namespace: str) -> list[Object]:
        planned = gateway.plan(namespace, self._settings)
        found = [self._store.find(kind_of(each), namespace, each["metadata"]["name"]) for each in planned]
        return [each for each in found if each is not None and is_ours(each)]

    async def _really_empty(self, namespace: str) -> bool:
        """Ask once more before a gateway goes: what is known here may be behind."""
        async for _ in self._api.list(MODEL_DEPLOYMENT, namespace, ""):
            return False
        return True

    async def _apply(self, planned: Iterable[dict[str, Any]]) -> ApiError | None:
        """Apply what differs; the first refusal that another try would not change, the rest applied all the same."""
        refused = None
        for desired in planned:
            try:
                await self._apply_one(desired)
            except ApiError as error:
                if not error.final:
                    raise
                refused = refused or error
        return refused

    async def _apply_one(self, desired: dict[str, Any]) -> None:
        kind, meta = kind_of(desired), desired["metadata"]
        there = self._store.find(kind, meta["namespace"], meta["name"])
        if not drifted(desired, there):
            return
        if there is None:
            await self._must_not_be_foreign(desired)
        log.info("%s %s/%s: %s", kind.name, meta["namespace"], meta["name"], "changed" if there else "created")
        self._store.see(kind, await self._api.apply(desired))

    async def _must_not_be_foreign(self, desired: dict[str, Any]) -> None:
        """An object that somebody else made under this name is not taken over."""
        kind, meta = kind_of(desired), desired["metadata"]
        there = await self._api.get(kind, meta["namespace"], meta["name"])
        if there is not None and not is_ours(there):
            text = f"{kind.name} {meta['name']!r} exists already and was not made by FastChat: rename or delete it"
            raise ApiError(400, text)

    async def _report(self, key: Key, deployment: ModelDeployment, seen: Observed) -> None:
        """Write the status where it has changed, and an Event where a person would want to know."""
        status = status_of(seen)
        if status == deployment.status:
            return
        body = {
            "apiVersion": MODEL_DEPLOYMENT.api_version,
            "kind": MODEL_DEPLOYMENT.name,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        try:
            self._store.see(MODEL_DEPLOYMENT, await self._api.apply(body, "status"))
        except ApiError as error:
            if error.status == 404:
                return  # deleted meanwhile
            raise
        for condition in _news(deployment.status, status):
            log.info("%s: %s %s: %s", key, condition.type, condition.reason, condition.message)
            await tell(self._api, deployment, condition)


def _news(before: Status | None, now: Status) -> list[Condition]:
    """Conditions whose cause is another than before."""
    old = {each.type: (each.status, each.reason) for each in before.conditions} if before else {}
    return [
        each for each in now.conditions if each.type == "Ready" and old.get(each.type) != (each.status, each.reason)
    ]
