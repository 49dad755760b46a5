"""The gateway of a namespace: there is one while there is a model."""

from collections.abc import Callable, Iterable, Sequence

from fastchat._kube.kind import Object
from fastchat.v1alpha1.names import GATEWAY, WORKERS
from fastchat_operator.key import GatewayKey, Key, ModelKey
from fastchat_operator.kube.api import Api
from fastchat_operator.kube.kind import MADE, MODEL_DEPLOYMENT, NETWORK_POLICY, kind_of
from fastchat_operator.kube.meta import is_ours
from fastchat_operator.kube.token import Tokens
from fastchat_operator.observe.cause import Cause
from fastchat_operator.plan import gateway
from fastchat_operator.reconcile.applier import Applier
from fastchat_operator.reconcile.contest import Subject
from fastchat_operator.settings import Settings
from fastchat_operator.store import Store


class GatewayReconciler:
    """Makes and removes gateways."""

    def __init__(
        self,
        api: Api,
        applier: Applier,
        store: Store,
        settings: Settings,
        tokens: Tokens,
        wake: Callable[[Iterable[Key]], None],
    ) -> None:
        self._api = api
        self._applier = applier
        self._store = store
        self._settings = settings
        self._tokens = tokens
        self._wake = wake
        self._troubles: dict[str, Cause | None] = {}

    def trouble(self, namespace: str) -> Cause | None:
        """What kept the gateway's objects from being as planned when it was last reconciled."""
        return self._troubles.get(namespace)

    async def reconcile(self, key: GatewayKey) -> None:
        """Make the gateway that the namespace's models want, and remove what none wants; raises ApiError."""
        wanted = any(not each.metadata.deletion_timestamp for each in self._store.models(key.namespace))
        planned = gateway.plan(key.namespace, self._settings, self._store.workload(key)) if wanted else ()
        refused = await self._applier.apply(planned)
        self._note(key.namespace, self._applier.trouble(refused, map(Subject.of, planned)))
        if wanted:
            await self._applier.retry_pods(key)
        if refused is not None:
            raise refused
        await self._remove_leftovers(key.namespace, planned)

    def _note(self, namespace: str, trouble: Cause | None) -> None:
        """Every model of the namespace tells it in its status."""
        if trouble != self._troubles.get(namespace):
            self._troubles[namespace] = trouble
            self._wake(ModelKey(namespace, each.metadata.name) for each in self._store.models(namespace))

    async def _remove_leftovers(self, namespace: str, planned: Sequence[Object]) -> None:
        leftovers = self._leftovers(namespace, planned)
        if not planned:
            if not (leftovers or self._tokens.find(namespace)) or not await self._really_empty(namespace):
                return
            await self._tokens.remove(namespace)
        for each in leftovers:
            await self._applier.delete(each)

    def _leftovers(self, namespace: str, planned: Sequence[Object]) -> list[Object]:
        """What is there of a gateway and is not planned: all of it, or what a setting has taken out."""
        keep = {(kind_of(each), each["metadata"]["name"]) for each in planned}
        possible = [*((kind, GATEWAY) for kind in MADE), (NETWORK_POLICY, WORKERS)]
        found = [self._store.find(kind, namespace, name) for kind, name in possible if (kind, name) not in keep]
        return [each for each in found if each is not None and is_ours(each)]

    async def _really_empty(self, namespace: str) -> bool:
        """Ask the API server before a gateway goes: what the store knows may be behind."""
        async for _ in self._api.list(MODEL_DEPLOYMENT, namespace, ""):
            return False
        return True
