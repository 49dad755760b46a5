"""Events on a ModelDeployment: what a person reads in `kubectl describe`."""

import logging
from datetime import UTC, datetime
from typing import Any

from fastchat._kube import request
from fastchat._kube.errors import ApiError
from fastchat._kube.kind import Kind
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_operator.kube.api import FIELD_MANAGER, Api
from fastchat_operator.kube.kind import MODEL_DEPLOYMENT

logger = logging.getLogger(__name__)

EVENT = Kind("v1", "Event", "events")
_GOOD_REASONS = {
    "Ready",
    "Loading",
    "ScaledToZero",
    "GatewayNotReady",
    "ScaledUp",
    "ScaledDown",
    "RolledOut",
    "WorkersStopped",
}


async def tell(api: Api, deployment: ModelDeployment, reason: str, message: str) -> None:
    """Put an Event on a ModelDeployment; one that cannot be written is only logged."""
    event = _event(deployment, reason, message, datetime.now(UTC))
    try:
        await api.send(request.create(EVENT, event))
    except ApiError as error:
        logger.warning("an Event on %s was not written: %s", deployment.metadata.name, error)


def _event(deployment: ModelDeployment, reason: str, message: str, now: datetime) -> dict[str, Any]:
    about = deployment.metadata
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.name,
        "metadata": {"generateName": f"{about.name}.", "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": MODEL_DEPLOYMENT.api_version,
            "kind": MODEL_DEPLOYMENT.name,
            "name": about.name,
            "namespace": about.namespace,
            "uid": about.uid,
        },
        "type": "Normal" if reason in _GOOD_REASONS else "Warning",
        "reason": reason,
        "message": message[:1024],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
