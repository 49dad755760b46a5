"""What a gateway tells the operator's autoscaler at `/demand`: the sequences of each model that wait or are in flight.

A line of JSON is the whole state, and the last line counts:

    {"models": {"NAME": {"held": 1, "endpoints": [{"url": "http://…", "uid": "…", "outstanding": 2}]}}}

Gateway and operator may be of different releases. A reader ignores what it does not know and needs no `url`; it refuses
what cannot be true, so that a broken gateway is not taken for an idle one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json, to_json

PATH = "/demand"
"""At the gateway, for whoever knows the internal token."""
LONGEST_LINE_BYTES = 256 * 2**10
_MOST = 1_000_000
"""Sequences that a gateway can have; more is nonsense."""
_LONGEST_UID = 128

_T = TypeVar("_T")


class Worker(NamedTuple):
    """One worker of a model, by its URL and its pod's UID, and the sequences that it has."""

    url: str
    uid: str
    outstanding: int


class Demand(NamedTuple):
    """Sequences of one model in one gateway. A sequence is a completion of one prompt, or an input to be embedded."""

    held: int = 0
    """Those that wait for a worker."""
    workers: tuple[Worker, ...] = ()

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
    models = {
        name: {"held": demand.held, "endpoints": [worker._asdict() for worker in demand.workers]}
        for name, demand in demands.items()
    }
    return to_json({"models": models}) + b"\n"


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
    return Demand(_count(model, "held"), tuple(map(_worker, endpoints)))


def _worker(endpoint: Any) -> Worker:
    uid: str = _part(endpoint, "uid", str)
    if len(uid) > _LONGEST_UID:
        raise ValueError(f"a uid has {len(uid)} characters")
    url = endpoint.get("url")
    return Worker(url if isinstance(url, str) else "", uid, _count(endpoint, "outstanding"))


def _count(thing: Any, name: str) -> int:
    count: int = _part(thing, name, int)
    if isinstance(count, bool) or not 0 <= count <= _MOST:
        raise ValueError(f"{name} is not a number from 0 to {_MOST}")
    return count


def _part(thing: Any, name: str, kind: type[_T]) -> _T:
    part = thing.get(name) if isinstance(thing, dict) else None
    if not isinstance(part, kind):
        raise ValueError(f"{name} is not there, or no {kind.__name__}")  # noqa: TRY004  # of the data
    return part
