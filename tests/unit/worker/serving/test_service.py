"""The phases of a worker: it loads, is ready, and drains."""

import time

import pytest

from fastchat_worker.errors import RequestError
from fastchat_worker.serving.models import Generator, ServedModel
from fastchat_worker.serving.service import Service
from fastchat_worker.settings import Settings


class Embedder:
    max_len, dimensions = 8, 1


class Batcher:
    waiting = 0
    broken = ""


class Engine:
    aborted = False
    broken = ""

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def service(engine) -> Service:
    service = Service(Settings(model_name="m", model_path="", grace_period_seconds=30))
    service.models.add(ServedModel(Embedder(), Batcher(), Generator(None, engine, None)))  # type: ignore[arg-type]
    service.phase = "ready"
    return service


def test_no_request_is_begun_while_the_worker_drains(service):
    service.check_serving()
    service.drain()
    with pytest.raises(RequestError, match="draining") as refused:
        service.check_serving()
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")


def test_a_worker_that_does_not_drain_does_not_end(service):
    assert not service.drained(time.monotonic() + 1000)


def test_a_draining_worker_ends_once_nothing_is_in_flight(service, engine):
    service.in_flight = 1
    service.drain()
    assert not service.drained(time.monotonic())
    service.in_flight = 0
    assert service.drained(time.monotonic())
    assert not engine.aborted


def test_what_is_in_flight_after_the_grace_period_is_aborted_and_has_a_second_to_end(service, engine):
    service.in_flight = 1
    began = time.monotonic()
    service.drain()
    ended = time.monotonic()
    assert not service.drained(began + 29)
    assert not engine.aborted
    assert not service.drained(ended + 30)
    assert engine.aborted
    assert service.drained(ended + 31)


def test_a_second_signal_does_not_prolong_the_grace_period(service):
    service.in_flight = 1
    service.drain()
    ended = time.monotonic()
    service.drain()
    assert service.drained(ended + 31)


def test_a_worker_whose_model_is_broken_begins_nothing_and_ends_once_all_have_been_told(service, engine):
    assert not service.broken(0)
    engine.broken, service.in_flight = "CUDA error: device-side assert triggered", 1
    assert not service.broken(5)
    assert (service.phase, service.detail) == ("broken", engine.broken)
    with pytest.raises(RequestError, match="broken"):
        service.check_serving()
    service.in_flight = 0
    assert service.broken(5) == engine.broken


def test_a_worker_whose_model_is_broken_does_not_wait_for_clients_that_do_not_read(service, engine):
    engine.broken, service.in_flight = "CUDA error", 1
    assert not service.broken(5)
    assert service.broken(7.1) == "CUDA error"


def test_a_worker_that_drains_ends_as_well_where_its_model_breaks(service, engine):
    service.in_flight = 1
    service.drain()
    engine.broken = "CUDA error"
    service.broken(5)
    assert service.phase == "broken"
