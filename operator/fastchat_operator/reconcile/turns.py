"""Rollouts that no ModelDeployment asked for go one workload at a time, the next when the last is ready."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastchat._kube.kind import Object
from fastchat_operator.key import Key, key_of
from fastchat_operator.plan import revision
from fastchat_operator.plan.workloads import progress, workload_of

logger = logging.getLogger(__name__)


class Turns:
    """Which workloads wait for which other one to be ready."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting: defaultdict[Key, set[Key]] = defaultdict(set)

    @asynccontextmanager
    async def take(
        self, desired: dict[str, Any], there: Object | None, workloads: Callable[[], Iterable[tuple[Key, Object]]]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield what may be applied now: `desired`, or that with the pods that are there, where another has the turn.

        It has the turn for as long as the context lasts: until what was applied is in the store, from which `workloads`
        are.
        """
        key = key_of(desired)
        if key is None or there is None or not needs_turn(desired, there):
            yield desired
            return
        async with self._lock:
            before = in_the_way(key, workloads())
            if before is None:
                yield desired
                return
        logger.info("%s: its pods are replaced when those of %s are ready", key, before)
        self.wait(key, before)
        yield with_pods_of(there, desired)

    def wait(self, key: Key, until_ready: Key) -> None:
        self._waiting[until_ready].add(key)

    def next(self, key: Key, workload: Object | None) -> set[Key]:
        """Those that waited for this workload, if it is ready or gone; they wait no longer."""
        return set() if progress(workload).replacing else self._waiting.pop(key, set())


def needs_turn(desired: Object, there: Object | None) -> bool:
    """Whether applying it would replace pods for another reason than a change of the ModelDeployment."""
    planned, before = revision.recorded(desired), revision.recorded(there)
    if there is None or planned is None or not progress(there).wanted:
        return False
    return planned.unasked and planned.template != (before and before.template)


def in_the_way(key: Key, workloads: Iterable[tuple[Key, Object]]) -> Key | None:
    """Whose workload must be ready before this one's pods are replaced: models wait for models, gateways for gateways.

    One whose new pods do not become ready (its progress deadline is over, or it was paused) holds up its own namespace
    only: a tenant whose model cannot start must not keep the others' as they are.
    """
    for other, workload in workloads:
        same_kind = other != key and type(other) is type(key)
        made = revision.recorded(workload) if same_kind else None
        if made is None or not made.unasked:
            continue
        state = progress(workload)
        if state.replacing and (other.namespace == key.namespace or not state.stuck):
            return other
    return None


def with_pods_of(there: Object, desired: dict[str, Any]) -> dict[str, Any]:
    """`desired`, replicas for example, with the pods as they are there."""
    metadata, annotations = desired["metadata"], dict(desired["metadata"]["annotations"])
    annotations.pop(revision.ANNOTATION)
    if before := (there["metadata"].get("annotations") or {}).get(revision.ANNOTATION):
        annotations[revision.ANNOTATION] = before
    kept = workload_of(there).keep_pods(desired, there)
    return kept | {"metadata": metadata | {"annotations": annotations}}
