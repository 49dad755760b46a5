"""How far workers are that are being started: what the status says of it."""

from collections.abc import Iterable, Mapping

from fastchat._kube.kind import Object
from fastchat.demand import LOAD_PHASES, Loading
from fastchat.v1alpha1.status import LoadProgress
from fastchat_operator.observe.cause import LOADING, is_pulling, pod_cause

_PHASES = ("Pulling", *LOAD_PHASES)
_WORDS = {"WarmingUp": "Warming up"}
_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_STEP = 1024


def furthest_behind(pods: Iterable[Object], loads: Mapping[str, Loading]) -> LoadProgress | None:
    """Of the pods that take only time, the one that is furthest behind; None: there is none.

    `loads`: what gateways say of workers, by their pods' UIDs.
    """
    found = [progress for pod in pods if (progress := _progress(pod, loads))]
    return min(found, key=_place, default=None)


def join(said: Iterable[tuple[str, Loading]]) -> dict[str, Loading]:
    """UID → how far the worker is: of what several gateways say the one that is further."""
    known: dict[str, Loading] = {}
    for uid, loading in said:
        known[uid] = max(known.get(uid, loading), loading, key=_reached)
    return known


def _progress(pod: Object, loads: Mapping[str, Loading]) -> LoadProgress | None:
    if is_pulling(pod):
        return LoadProgress(phase="Pulling", summary="Pulling")
    cause = pod_cause(pod)
    if cause is None or cause.reason != LOADING:
        return None
    return _told(loads.get(pod["metadata"]["uid"], Loading("Loading")))


def _told(loading: Loading) -> LoadProgress:
    phase, done, total, seconds = loading
    percent = 100 * done // total if done is not None and total else None
    share = "" if percent is None else f" {percent}%"
    left = "" if seconds is None else f", {_span(seconds)} left"
    return LoadProgress(
        phase=phase,
        done=None if done is None else quantity(done),
        total=None if total is None else quantity(total),
        percent=percent,
        eta_seconds=seconds,
        summary=f"{_WORDS.get(phase, phase)}{share}{left}",
    )


def _place(progress: LoadProgress) -> tuple[int, int, int]:
    """Sorts the one that is furthest behind first."""
    return _PHASES.index(progress.phase), progress.percent or 0, -(progress.eta_seconds or 0)


def _reached(loading: Loading) -> tuple[int, int]:
    return LOAD_PHASES.index(loading.phase), loading.done or 0


def quantity(count: int) -> str:
    """Bytes as Kubernetes writes amounts, with one digit behind the point: `4.1Gi`."""
    size, units = float(count), iter(_UNITS)
    unit = next(units)
    while size >= _STEP and unit != _UNITS[-1]:
        size, unit = size / _STEP, next(units)
    return f"{size:.1f}{unit}" if unit else str(count)


def _span(seconds: int) -> str:
    """In seconds below two minutes, in minutes below two hours, else in hours."""
    if seconds < 120:
        return f"{seconds}s"
    return f"{round(seconds / 60)}m" if seconds < 7200 else f"{round(seconds / 3600)}h"
