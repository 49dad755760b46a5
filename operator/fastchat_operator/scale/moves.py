"""What became of the responses that workers had which were stopped: counted for each rollout, told in an Event."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fastchat._kube.kind import Object
from fastchat.demand import Demands
from fastchat_operator.key import GatewayKey, ModelKey
from fastchat_operator.plan.workloads import progress
from fastchat_operator.reconcile.applier import Applier
from fastchat_operator.scale.listener import Listeners
from fastchat_operator.store import Store

_CALM_SECONDS = 3.0
"""A change is over when all has been as it should be for so long, and gateways have said so twice."""

Ends = Mapping[str, tuple[int, int]]
"""By gateway pod: how many responses of a model it has moved, and how many were cut, since it began."""


@dataclass
class Change:
    """Workers that are being stopped, one after the other or all at once."""

    began: float
    before: Ends
    stopped: set[str] = field(default_factory=set)
    """UIDs of their pods."""
    is_rollout: bool = False
    """Others take their place because they are to be otherwise."""
    calm_since: float | None = None

    def is_over(self, now: float, *, calm: bool) -> bool:
        """Whether it is, where nothing is under way now if it is `calm`."""
        if not calm:
            self.calm_since = None
        elif self.calm_since is None:
            self.calm_since = now
        return self.calm_since is not None and now - self.calm_since >= _CALM_SECONDS

    def told(self, ends: Ends) -> tuple[str, str] | None:
        """Reason and message of its Event; None: it moved nothing that anybody would ask for."""
        moved, cut = (
            sum(max(0, end[part] - self.before.get(gateway, (0, 0))[part]) for gateway, end in ends.items())
            for part in (0, 1)
        )
        if not (self.is_rollout or moved or cut):
            return None
        workers = f"{len(self.stopped)} worker{'s' * (len(self.stopped) != 1)} "
        seconds = (self.calm_since or self.began) - self.began
        what = "replaced" if self.is_rollout else "stopped"
        message = f"{workers}{what} within {seconds:.0f} s: {_responses(moved)} moved to others, {cut or 'none'} cut"
        return ("RolledOut" if self.is_rollout else "WorkersStopped"), message


def _responses(count: int) -> str:
    return {0: "no response had to be", 1: "1 response was"}.get(count, f"{count} responses were")


@dataclass
class _Known:
    """One model as it was when last looked at."""

    workers: frozenset[str] = frozenset()
    """UIDs of pods that are to stay."""
    ends: dict[str, tuple[int, int]] = field(default_factory=dict)
    change: Change | None = None


class Moves:
    """Follows the workers of all models; whoever looks often enough misses none that is stopped."""

    def __init__(
        self, applier: Applier, store: Store, listeners: Listeners, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._applier = applier
        self._store = store
        self._listeners = listeners
        self._clock = clock
        self._known: dict[ModelKey, _Known] = {}

    async def look(self, keys: Iterable[ModelKey]) -> None:
        """Look at these models, which are all that there are, and tell which changes are over."""
        found = {key: self._known.get(key) or _Known() for key in keys}
        self._known = found
        heard = {each: self._heard(each) for each in {key.namespace for key in found}}
        for key, known in found.items():
            change = self._follow(key, known, heard[key.namespace])
            told = change.told(known.ends) if change is not None else None
            deployment = self._store.model(key)
            if told is not None and deployment is not None:
                await self._applier.tell(deployment, *told)

    def _heard(self, namespace: str) -> Mapping[str, Demands]:
        return self._listeners.heard(self._store.pods(GatewayKey(namespace)))

    def _follow(self, key: ModelKey, known: _Known, heard: Mapping[str, Demands]) -> Change | None:
        """The change that is over now."""
        pods = self._store.pods(key)
        staying = frozenset(pod["metadata"]["uid"] for pod in pods if not _is_leaving(pod))
        stopped, known.workers = known.workers - staying, staying
        if stopped and known.change is None:
            known.change = Change(self._clock(), dict(known.ends))
        said = {gateway: demands[key.name] for gateway, demands in heard.items() if key.name in demands}
        known.ends.update({gateway: (demand.moved, demand.cut) for gateway, demand in said.items()})
        if known.change is None:
            return None
        state = progress(self._store.workload(key))
        known.change.stopped |= stopped
        known.change.is_rollout |= state.observed and state.replacing
        calm = state.observed and not state.replacing and len(staying) == len(pods)
        calm = calm and not any(demand.paused for demand in said.values())
        over = known.change.is_over(self._clock(), calm=calm and state.ready == state.current == state.wanted)
        change = known.change
        known.change = None if over else change
        return change if over else None


def _is_leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
