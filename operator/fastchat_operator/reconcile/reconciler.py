"""One reconciliation of one key."""

from fastchat_operator.key import Key, ModelKey
from fastchat_operator.reconcile.applier import Applier
from fastchat_operator.reconcile.gateway import GatewayReconciler
from fastchat_operator.reconcile.model import ModelReconciler


class Reconciler:
    """Brings the cluster to what the ModelDeployments say."""

    def __init__(self, applier: Applier, models: ModelReconciler, gateways: GatewayReconciler) -> None:
        self._applier = applier
        self._models = models
        self._gateways = gateways

    async def reconcile(self, key: Key) -> None:
        """Make it so; raises ApiError where it could not, to be tried again."""
        self._applier.pass_turn(key)
        if isinstance(key, ModelKey):
            await self._models.reconcile(key)
        else:
            await self._gateways.reconcile(key)
