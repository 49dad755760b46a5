"""When a gateway says what it has to do; time is a value."""

import json

import pytest

from fastchat.demand import Demand, Worker, encode
from fastchat_gateway.routing.catalog import Catalog, EndpointRecord, ModelRecord
from fastchat_gateway.telemetry.demand import demands, due

IDLE = Demand(0, (Worker("http://w:8000", "uid", 0),))


def busy(outstanding: int, held: int = 0) -> Demand:
    return Demand(held, (Worker("http://w:8000", "uid", outstanding),))


def test_the_first_line_comes_at_once() -> None:
    assert due(None, {}, 0.0)


def test_a_line_comes_every_two_seconds_though_nothing_changes() -> None:
    assert not due({"m": IDLE}, {"m": IDLE}, 1.9)
    assert due({"m": IDLE}, {"m": IDLE}, 2.0)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"m": IDLE}, {"m": busy(1)}),
        ({"m": Demand()}, {"m": Demand(held=1)}),
        ({"m": busy(5)}, {"m": busy(5, held=1)}),
        ({}, {"m": Demand(held=1)}),
    ],
    ids=["first request", "first held", "held while others run", "new model"],
)
def test_what_wakes_a_model_is_said_at_once(before, now) -> None:
    assert due(before, now, 0.0)


@pytest.mark.parametrize(
    ("before", "now"),
    [({"m": busy(1)}, {"m": busy(2)}), ({"m": busy(1)}, {"m": IDLE}), ({"m": IDLE}, {})],
    ids=["more", "none left", "model gone"],
)
def test_any_other_change_is_said_four_times_a_second(before, now) -> None:
    assert not due(before, now, 0.24)
    assert due(before, now, 0.25)


def test_a_line_is_a_snapshot_of_every_model_by_its_own_name() -> None:
    catalog = Catalog()
    worker = EndpointRecord("http://10.0.0.9:8000", ready=True, uid="pod")
    catalog.update([ModelRecord("m", ("m", "alias"), (worker,)), ModelRecord("asleep", ("asleep",))])
    (model,) = (each for each in catalog if each.name == "m")
    model.endpoints[0].outstanding = 2
    assert json.loads(encode(demands(catalog, {}))) == {
        "models": {
            "m": {"held": 0, "endpoints": [{"url": "http://10.0.0.9:8000", "uid": "pod", "outstanding": 2}]},
            "asleep": {"held": 0, "endpoints": []},
        }
    }


def test_what_waits_for_an_adapter_waits_for_its_model() -> None:
    catalog = Catalog()
    worker = EndpointRecord("http://w:8000", ready=True, uid="uid")
    catalog.update([ModelRecord("m", ("m",), (worker,)), ModelRecord("sql", ("sql",), (worker,), parent="m")])
    (adapter,) = (each for each in catalog if each.name == "sql")
    adapter.endpoints[0].outstanding = 2
    for model, waiting in zip(catalog, (3, 4), strict=True):
        model.queue.sequences = waiting
    assert demands(catalog, {}) == {"m": busy(2, held=7)}


def test_what_became_of_an_adapters_responses_became_of_its_models() -> None:
    catalog = Catalog()
    catalog.update([ModelRecord("m", ("m",)), ModelRecord("sql", ("sql",), parent="m")])
    assert demands(catalog, {"m": (3, 1, 0), "sql": (2, 0, 4)}) == {"m": Demand(moved=5, cut=1, paused=4)}
