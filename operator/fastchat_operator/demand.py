"""What a gateway pod says of the requests it has: how many wait, and how many each worker answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel


@dataclass(frozen=True)
class Demand:
    """Requests of one model in one gateway pod."""

    held: int = 0
    outstanding: Mapping[str, int] = field(default_factory=dict)
    """In flight, by the UID of the worker's pod."""

    @property
    def in_flight(self) -> int:
        return sum(self.outstanding.values())


class _Endpoint(BaseModel):
    uid: str
    outstanding: int


class _Model(BaseModel):
    held: int
    endpoints: list[_Endpoint]


class _Line(BaseModel):
    models: dict[str, _Model]


def read(line: bytes) -> Mapping[str, Demand]:
    """Demand by the name of the model, of a line of a gateway's /demand; raises ValueError."""
    return {
        name: Demand(model.held, {each.uid: each.outstanding for each in model.endpoints})
        for name, model in _Line.model_validate_json(line).models.items()
    }
