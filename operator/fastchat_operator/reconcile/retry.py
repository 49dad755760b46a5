"""Pods that were refused, by a quota or a LimitRange: their ReplicaSet is asked to try again, for that may be gone.

By itself its controller would wait for up to 17 minutes. What is written on a Deployment is copied to its ReplicaSet,
and that wakes it; no pod is changed by it.
"""

import time

from fastchat.v1alpha1.deployment import GROUP
from fastchat_operator.kube.api import FIELD_MANAGER, MERGE, Api
from fastchat_operator.kube.kind import DEPLOYMENT, Object

RETRY_ANNOTATION = f"{GROUP}/asked-to-retry"
_SECONDS = 50
"""Somewhat less than what lies between two passes over everything."""


async def ask_to_retry(api: Api, workload: Object) -> Object | None:
    """Ask once a minute; the Deployment as it is now, None: it was asked lately. Raises ApiError."""
    about, now = workload["metadata"], int(time.time())
    asked = about.get("annotations", {}).get(RETRY_ANNOTATION, "")
    if asked.isascii() and asked.isdigit() and 0 <= now - int(asked) < _SECONDS:
        return None
    body = {"metadata": {"uid": about["uid"], "annotations": {RETRY_ANNOTATION: str(now)}}}
    path = DEPLOYMENT.path(about["namespace"], about["name"])
    return await api.call("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, MERGE)
