"""Refuses to run beside another release of FastChat that acts on all namespaces: both would write the same objects.

Releases are found by the chart's ClusterRoleBinding, which only an administrator of the cluster can make.
"""

import asyncio
import logging
import os
from collections.abc import Iterable

from fastchat._kube.errors import ApiError
from fastchat._kube.kind import Object
from fastchat_operator.kube.api import Api
from fastchat_operator.kube.kind import CLUSTER_ROLE_BINDING
from fastchat_operator.settings import Settings

logger = logging.getLogger(__name__)

_SELECTOR = "app.kubernetes.io/name=fastchat-operator,app.kubernetes.io/component=operator"
_INSTANCE = "app.kubernetes.io/instance"
_RETRY_SECONDS = 2.0


class OtherReleaseError(Exception):
    """Another release was there first; the message says which one, and what to do."""


async def must_be_alone(api: Api, settings: Settings) -> None:
    """Raises OtherReleaseError where this release acts on all namespaces and is not the first that does."""
    if settings.namespaces:
        return
    bindings = await _bindings(api)
    name, namespace = settings.leader_election.name or "", os.environ.get("POD_NAMESPACE", "")
    first = first_of(bindings, name, namespace)
    if first is not None:
        raise OtherReleaseError(
            f"the release {first[0]!r} in namespace {first[1]!r} acts on all namespaces already, and two would undo "
            f"each other's work: uninstall one of them (helm uninstall {first[0]} -n {first[1]}), "
            "or set `namespaces` to different ones in both"
        )


async def _bindings(api: Api) -> list[Object]:
    """The bindings of all releases; none where we may not list them, as outside of the chart."""
    while True:
        try:
            return [each async for each in api.list(CLUSTER_ROLE_BINDING, None, _SELECTOR)]
        except ApiError as error:
            if error.final:
                logger.warning("whether another release acts on all namespaces is not known: %s", error)
                return []
            logger.warning("%s; trying again", error)
            await asyncio.sleep(max(_RETRY_SECONDS, error.retry_after))


def first_of(bindings: Iterable[Object], name: str, namespace: str) -> tuple[str, str] | None:
    """Name and namespace of the release that was there before ours, which is bound by `name`; None: ours was first."""
    oldest = min(
        bindings, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"]), default=None
    )
    if oldest is None:
        return None
    about, subjects = oldest["metadata"], oldest.get("subjects") or [{}]
    where = subjects[0].get("namespace", "")
    return (
        None if (about["name"], where) == (name, namespace) else (about["labels"].get(_INSTANCE, about["name"]), where)
    )
