"""One ModelDeployment: its workers, its status, and Events where a person would want to know."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastchat.demand import Loading
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.status import Condition, Status
from fastchat_operator.key import GatewayKey, ModelKey
from fastchat_operator.observe.cause import Cause
from fastchat_operator.observe.progress import furthest_behind
from fastchat_operator.observe.status import Observed, status_of
from fastchat_operator.plan import worker
from fastchat_operator.plan.workloads import progress
from fastchat_operator.reconcile.applier import Applier
from fastchat_operator.reconcile.contest import Subject
from fastchat_operator.reconcile.pace import Pace
from fastchat_operator.settings import Settings
from fastchat_operator.store import Store

logger = logging.getLogger(__name__)

_PASSING = {"Scheduling", "Starting"}
"""What a pod goes through in a moment."""


class ModelReconciler:
    """Makes workers, and reports on them."""

    def __init__(
        self,
        applier: Applier,
        store: Store,
        settings: Settings,
        gateway_trouble: Callable[[str], Cause | None],
        scaling: Callable[[ModelKey], Cause | None],
        loads: Callable[[ModelKey], Mapping[str, Loading]],
    ) -> None:
        """`gateway_trouble` of a namespace; `scaling` says why the autoscaler leaves a model as it is.

        `loads` says how far a model's workers are that load, by their pods' UIDs.
        """
        self._applier = applier
        self._store = store
        self._settings = settings
        self._gateway_trouble = gateway_trouble
        self._scaling = scaling
        self._loads = loads
        self._pace = Pace()

    async def reconcile(self, key: ModelKey) -> None:
        """Apply what is planned and write the status; raises ApiError, also for an object that was refused."""
        deployment = self._store.model(key)
        if deployment is None or deployment.metadata.deletion_timestamp:
            self._pace.show(key, None)
            return  # owner references take the children along
        conflicts = self._store.name_conflicts(deployment)
        served = all(name != deployment.name for name, _ in conflicts)
        planned = worker.plan(deployment, self._settings, self._store.workload(key)) if served else ()
        refused = await self._applier.apply(planned)
        subjects = [*map(Subject.of, planned), Subject.of_model(key, "status")]
        trouble = self._applier.trouble(refused, subjects)
        await self._report(key, self._observe(key, deployment, conflicts, trouble))
        await self._applier.retry_pods(key)
        if refused is not None:
            raise refused

    def _observe(
        self, key: ModelKey, deployment: ModelDeployment, conflicts: Sequence[tuple[str, str]], trouble: Cause | None
    ) -> Observed:
        gateway = GatewayKey(key.namespace)
        return Observed(
            deployment,
            workers=progress(self._store.workload(key)),
            pods=self._store.pods(key),
            gateway=progress(self._store.workload(gateway)),
            gateway_pods=self._store.pods(gateway),
            name_conflicts=conflicts,
            trouble=trouble,
            gateway_trouble=self._gateway_trouble(key.namespace),
            progress=self._pace.show(key, furthest_behind(self._store.pods(key), self._loads(key))),
            scaling=self._scaling(key),
        )

    async def _report(self, key: ModelKey, seen: Observed) -> None:
        """Write the status where it has changed, and an Event where a person would want to know."""
        deployment, status = seen.deployment, status_of(seen)
        if status == deployment.status or not await self._applier.write_status(key, status):
            return
        for condition in _news(deployment.status, status):
            logger.info("%s: %s %s: %s", key, condition.type, condition.reason, condition.message)
            await self._applier.tell(deployment, condition.reason, condition.message)


def _news(before: Status | None, now: Status) -> list[Condition]:
    """Conditions for an Event: `Ready` where its reason is another than before, and is none that passes by itself."""
    old: dict[str, Any] = {each.type: (each.status, each.reason) for each in before.conditions} if before else {}
    return [
        each
        for each in now.conditions
        if each.type == "Ready" and each.reason not in _PASSING and old.get(each.type) != (each.status, each.reason)
    ]
