"""What a gateway tells the operator's autoscaler at `/demand`: the sequences of each model that wait or are in flight.

A line of JSON is the whole state, and the last line counts:

    {"models": {"NAME": {"held": 1, "endpoints": [{"url": "http://…", "uid": "…", "outstanding": 2}], "moved": 3}}}

`moved` and `cut` count since the gateway began what became of responses whose worker stopped or was lost; `paused` are
those in between. They are left out while they are 0.

An endpoint that still loads also has `"loading": {"phase": "Downloading", "done": 1, "total": 2, "seconds": 3}`, bytes
and seconds that are left; what is not known is left out.

Gateway and operator may be of different releases. A reader ignores what it does not know and needs no `url`; it refuses
what cannot be true, so that a broken gateway is not taken for an idle one.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from pydantic_core import from_json, to_json

PATH = "/demand"
"""At the gateway, for whoever knows the internal token."""
LONGEST_LINE_BYTES = 256 * 2**10
_MOST = 1_000_000
"""Sequences that a gateway can have; more is nonsense."""
_MOST_EVER = 2**53
"""Of what is counted since the gateway began."""
_ENDS = ("moved", "cut", "paused")
"""Of a Demand, what is left out while it is 0."""
_LONGEST_UID = 128

_MOST_BYTES = 2**53
_MOST_SECONDS = 10**9

_T = TypeVar("_T")

LoadPhase = Literal["Downloading", "Loading", "WarmingUp"]
LOAD_PHASES: tuple[LoadPhase, ...] = get_args(LoadPhase)
"""In their order."""


class Loading(NamedTuple):
    """How far a worker is that still loads: bytes of its phase, and seconds until that is over; None: not known."""

    phase: LoadPhase
    done: int | None = None
    total: int | None = None
    seconds: int | None = None


class Worker(NamedTuple):
    """One worker of a model, by its URL and its pod's UID, and the sequences that it has."""

    url: str
    uid: str
    outstanding: int
    loading: Loading | None = None
    """None: it does not load, or does not say."""


class Demand(NamedTuple):
    """Sequences of one model in one gateway. A sequence is a completion of one prompt, or an input to be embedded."""

    held: int = 0
    """Those that wait for a worker."""
    workers: tuple[Worker, ...] = ()
    moved: int = 0
    """Responses that went on at another worker, since the gateway began."""
    cut: int = 0
    """Responses that ended in the middle, since then."""
    paused: int = 0
    """Responses that have begun and wait for a worker to go on with them."""

    @property
    def outstanding(self) -> Mapping[str, int]:
        """Those in flight, by the UID of the worker's pod."""
        return {worker.uid: worker.outstanding for worker in self.workers}

    @property
    def in_flight(self) -> int:
        """Those that workers have."""
        return sum(worker.outstanding for worker in self.workers)


Demands = Mapping[str, Demand]
"""By the name of the model."""


def encode(demands: Demands) -> bytes:
    """A line of `/demand`, with the line feed at its end."""
    return to_json({"models": {name: _said(demand) for name, demand in demands.items()}}) + b"\n"


def _said(demand: Demand) -> dict[str, Any]:
    said: dict[str, Any] = {"held": demand.held, "endpoints": [_endpoint(worker) for worker in demand.workers]}
    return said | {name: count for name, count in zip(_ENDS, demand[2:], strict=True) if count}


def _endpoint(worker: Worker) -> dict[str, Any]:
    about = {"url": worker.url, "uid": worker.uid, "outstanding": worker.outstanding}
    if worker.loading is None:
        return about
    known = {name: value for name, value in worker.loading._asdict().items() if value is not None}
    return {**about, "loading": known}


def decode(line: bytes) -> Demands:
    """What a line of `/demand` says. Raises: ValueError at the first thing that is wrong."""
    check_length(line)
    models = _part(from_json(line), "models", dict)
    return {name: _demand(model) for name, model in models.items()}


def check_length(line: bytes) -> None:
    """Raises: ValueError for a line, or the beginning of one, that is longer than a gateway's would be."""
    if len(line) > LONGEST_LINE_BYTES:
        raise ValueError(f"a line is longer than {LONGEST_LINE_BYTES // 1024} KiB")


def _demand(model: Any) -> Demand:
    endpoints = _part(model, "endpoints", list)
    ends = (_count(model, name, _MOST_EVER) if name in model else 0 for name in _ENDS)
    return Demand(_count(model, "held"), tuple(map(_worker, endpoints)), *ends)


def _worker(endpoint: Any) -> Worker:
    uid: str = _part(endpoint, "uid", str)
    if len(uid) > _LONGEST_UID:
        raise ValueError(f"a uid has {len(uid)} characters")
    url = endpoint.get("url")
    outstanding = _count(endpoint, "outstanding")
    return Worker(url if isinstance(url, str) else "", uid, outstanding, read_loading(endpoint.get("loading")))


def read_loading(said: Any) -> Loading | None:
    """What a worker or a gateway says of a load; None for what is not understood, which costs nothing but its display.

    A number that cannot be true counts as not known.
    """
    if not isinstance(said, dict) or said.get("phase") not in LOAD_PHASES:
        return None
    total = _at_most(said.get("total"), _MOST_BYTES)
    done = _at_most(said.get("done"), _MOST_BYTES if total is None else total)
    return Loading(said["phase"], done, total, _at_most(said.get("seconds"), _MOST_SECONDS))


def _at_most(value: Any, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def _count(thing: Any, name: str, most: int = _MOST) -> int:
    count: int = _part(thing, name, int)
    if isinstance(count, bool) or not 0 <= count <= most:
        raise ValueError(f"{name} is not a number from 0 to {most}")
    return count


def _part(thing: Any, name: str, kind: type[_T]) -> _T:
    part = thing.get(name) if isinstance(thing, dict) else None
    if not isinstance(part, kind):
        raise ValueError(f"{name} is not there, or no {kind.__name__}")  # noqa: TRY004  # of the data
    return part
