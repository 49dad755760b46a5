"""What a gateway pod says of what it has, in sequences: how many wait, and how many each worker has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic_core import from_json

_MOST = 1_000_000
"""Requests that a gateway can have; more is nonsense."""
_LONGEST_UID = 128

_T = TypeVar("_T")


@dataclass(frozen=True)
class Demand:
    """Sequences of one model in one gateway pod."""

    held: int = 0
    outstanding: Mapping[str, int] = field(default_factory=dict)
    """In flight, by the UID of the worker's pod."""

    @property
    def in_flight(self) -> int:
        return sum(self.outstanding.values())


def read(line: bytes) -> Mapping[str, Demand]:
    """Demand by the name of the model, of a line of a gateway's /demand; raises ValueError at the first nonsense."""
    models = _part(from_json(line), "models", dict)
    return {name: _demand(model) for name, model in models.items()}


def _demand(model: Any) -> Demand:
    endpoints = _part(model, "endpoints", list)
    return Demand(_count(model, "held"), {_uid(each): _count(each, "outstanding") for each in endpoints})


def _uid(endpoint: Any) -> str:
    uid: str = _part(endpoint, "uid", str)
    if len(uid) > _LONGEST_UID:
        raise ValueError(f"a uid has {len(uid)} characters")
    return uid


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
