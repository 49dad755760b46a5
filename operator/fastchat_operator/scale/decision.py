"""How many workers a model should have, from what its gateways say. Pure: time comes from outside."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastchat.demand import Demand
from fastchat.v1alpha1.deployment import Autoscaling, ModelDeployment
from fastchat_operator.observe.cause import Cause

CALM_SECONDS = 10.0
"""What was so less than this ago still is in the status, which would else change with every request."""
SILENT_SECONDS = 6.0


@dataclass(frozen=True)
class History:
    """What is remembered of one model; times are monotonic."""

    scaling: Autoscaling
    """What it was measured by: with other settings it begins anew."""
    known: float
    """When the demand of all gateway pods was last known; at first, when this history began."""
    unknown: float
    """When that of one of them was last not known; at first, when this history began."""
    crowded: float = -math.inf
    """When last more than maxReplicas were needed."""
    needs: tuple[tuple[float, int], ...] = ()
    """(when last at least so many workers were needed, so many): the younger, the fewer."""

    def after(self, now: float, wanted: int, need: int, *, known: bool) -> "History":
        """The history with one more observation: `wanted` workers for the demand, `need` of them within the bounds."""
        oldest = now - self.scaling.scale_down_delay_seconds
        higher = tuple(each for each in self.needs if each[1] > need and each[0] >= oldest)
        return replace(
            self,
            known=now if known else self.known,
            unknown=self.unknown if known else now,
            crowded=now if wanted > self.scaling.max_replicas else self.crowded,
            needs=(*higher, (now, need)),
        )

    @property
    def most(self) -> int:
        """The most workers that were needed at any time within the delay."""
        return self.needs[0][1]


@dataclass(frozen=True)
class Decision:
    """So many workers, and why."""

    replicas: int
    history: History
    requests: int
    """In flight and held, as far as is known."""
    message: str = ""
    """Why it is another number than now, for people."""
    cause: Cause | None = None
    """Why it is the same number; None: nothing is to be said that was not said."""


def begin(deployment: ModelDeployment, history: History | None, now: float) -> History:
    """The history to go on with. A new one begins the whole delay, before which no worker is stopped."""
    scaling = deployment.spec.autoscaling
    if scaling is None:
        raise ValueError(f"{deployment.metadata.name} has no spec.autoscaling")
    return history if history and history.scaling == scaling else History(scaling, known=now, unknown=now)


def decide(
    deployment: ModelDeployment,
    demands: Mapping[str, Demand | None],
    history: History,
    now: float,
    *,
    rolling: bool = False,
) -> Decision:
    """Decide for a deployment with `autoscaling`.

    `demands`: of each gateway pod that may have requests, by its name; None where it is not known.
    `rolling`: its workers are being replaced.
    """
    scaling, replicas = history.scaling, deployment.spec.replicas
    requests = sum(each.held + each.in_flight for each in demands.values() if each)
    wanted = math.ceil(requests / scaling.target_requests)
    need = min(max(wanted, scaling.min_replicas), scaling.max_replicas)
    known = bool(demands) and None not in demands.values()
    history = history.after(now, wanted, need, known=known)
    if need > replicas:
        why = _demand(requests, scaling) if wanted > replicas else f"minReplicas is {scaling.min_replicas}"
        return Decision(need, history, requests, f"{replicas} → {need} workers: {why}")
    in_flight = sum(each.in_flight for each in demands.values() if each)
    fewest = max(history.most, math.ceil(in_flight / scaling.target_requests))
    long_enough = known and now - history.unknown >= scaling.scale_down_delay_seconds
    if fewest < replicas and long_enough and not rolling:
        why = f"maxReplicas is {scaling.max_replicas}" if replicas > scaling.max_replicas else _calm(requests, scaling)
        return Decision(fewest, history, requests, f"{replicas} → {fewest} workers: {why}")
    return Decision(replicas, history, requests, cause=_cause(replicas, demands, history, now, rolling=rolling))


def _demand(requests: int, scaling: Autoscaling) -> str:
    return f"{requests} sequence{'' if requests == 1 else 's'} in flight and held, {scaling.target_requests} per worker"


def _calm(requests: int, scaling: Autoscaling) -> str:
    return f"for {scaling.scale_down_delay_seconds} s no more were needed; now {_demand(requests, scaling)}"


def _cause(
    replicas: int, demands: Mapping[str, Demand | None], history: History, now: float, *, rolling: bool
) -> Cause | None:
    """Why the number stays."""
    scaling = history.scaling
    needed_at = max((at for at, need in history.needs if need >= replicas), default=-math.inf)
    if now - history.crowded < CALM_SECONDS:
        return Cause("AtMaximum", f"the demand is for more workers than maxReplicas, {scaling.max_replicas}")
    if now - needed_at < CALM_SECONDS:
        return Cause("Following", "as many workers as the demand is for", trouble=False)
    if history.unknown == now:
        return _unknown(demands) if now - history.known >= SILENT_SECONDS or not demands else None
    if rolling:
        return Cause("Updating", "fewer workers would do; none is stopped while they are replaced", trouble=False)
    delay = scaling.scale_down_delay_seconds
    return Cause("Waiting", f"fewer workers would do; they stay until that was so for {delay} s", trouble=False)


def _unknown(demands: Mapping[str, Demand | None]) -> Cause:
    silent = ", ".join(sorted(name for name, each in demands.items() if each is None))
    why = f"gateway pod {silent} does not say what it has in flight" if silent else "no gateway pod runs"
    return Cause("GatewayUnknown", f"no worker is stopped: {why}")
