"""A worker that stops hands over what it has in flight, and is gone."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.workers import SLOW, WorkerProcess

from .cutting import Progress, Response, post

LONG = {"model": "small", "messages": [{"role": "user", "content": "Say something."}], "ignore_eos": True}
LONG |= {"max_tokens": 1000, "temperature": 0}
PATH = "/v1/chat/completions"


@pytest.fixture
def start(options, tmp_path) -> Iterator[Callable[..., WorkerProcess]]:
    started = []

    def start_worker(*more: str, **kwargs: Any) -> WorkerProcess:
        started.append(WorkerProcess(tmp_path, *options, *more, **kwargs))
        return started[-1].wait_ready()

    yield start_worker
    for worker in started:
        worker.stop()


class InFlight:
    """Requests that are under way, each on a thread."""

    def __init__(self, worker: WorkerProcess, *bodies: dict[str, Any], **headers: str) -> None:
        self.responses: list[Response] = [None] * len(bodies)  # type: ignore[list-item]

        def run(at: int) -> None:
            self.responses[at] = post(worker.url, PATH, bodies[at], headers=headers)

        self._threads = [threading.Thread(target=run, args=(at,)) for at in range(len(bodies))]
        for thread in self._threads:
            thread.start()
        worker.wait_for(lambda: worker.gauge("sequences_running") == sum(body.get("n", 1) for body in bodies))

    def join(self) -> list[Response]:
        for thread in self._threads:
            thread.join(60)
        return self.responses


def test_nothing_is_handed_over_before_sigterm(pair):
    refused = httpx.post(pair[0] + "/internal/handover")
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "not_draining"


def test_streams_and_whole_responses_are_handed_over_and_go_on_elsewhere(start, pair):
    worker = start("--grace-period-seconds=60")
    flight = InFlight(worker, LONG | {"stream": True}, LONG, LONG | {"n": 2, "stream": True})
    worker.process.send_signal(signal.SIGTERM)
    worker.wait_for(lambda: worker.status() == 503)
    assert httpx.post(worker.url + "/internal/handover").status_code == 204
    began = time.monotonic()
    stream, whole, several = flight.join()
    assert worker.process.wait(30) == 0
    assert time.monotonic() - began < 5
    assert stream.chunks[-1] == several.chunks[-1] == b":h\n\n"
    assert (whole.status, whole.headers["x-fastchat-handed-over"]) == (503, "1")
    undisturbed = json.loads(post(pair[0], PATH, LONG).body)
    resumed = json.loads(post(pair[1], PATH, LONG, whole.body).body)
    assert resumed["choices"] == undisturbed["choices"]
    assert resumed["usage"]["completion_tokens"] == LONG["max_tokens"]
    rest = post(pair[1], PATH, LONG | {"stream": True}, Progress.of(stream.chunks[:-1]).document(1))
    assert said(stream.chunks[:-1] + rest.chunks) == undisturbed["choices"][0]["message"]["content"]


def said(chunks: list[bytes]) -> str:
    lines = b"".join(chunks).decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events)


def test_a_worker_that_is_replaced_in_place_hands_over_at_sigterm(start):
    worker = start("--handover=at-once", "--grace-period-seconds=60")
    flight = InFlight(worker, LONG | {"stream": True})
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0
    assert flight.join()[0].chunks[-1] == b":h\n\n"


def test_what_cannot_go_on_elsewhere_is_finished(start):
    worker = start("--handover=at-once", "--grace-period-seconds=60")
    flight = InFlight(worker, LONG | {"stream": True}, **{"x-fastchat-resumable": "0"})
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0
    assert flight.join()[0].chunks[-1] == b"data: [DONE]\n\n"


def test_at_the_end_of_the_grace_period_what_is_left_is_handed_over(start):
    worker = start("--grace-period-seconds=1")
    flight = InFlight(worker, LONG | {"stream": True, "max_tokens": 1900}, LONG | {"max_tokens": 1900})
    worker.process.send_signal(signal.SIGTERM)
    stream, whole = flight.join()
    assert stream.chunks[-1] in (b":h\n\n", b"data: [DONE]\n\n")
    assert whole.status == 200 or whole.headers["x-fastchat-handed-over"] == "1"
    assert worker.process.wait(30) == 0


def test_a_step_that_does_not_end_is_told_and_what_waits_for_it_handed_over(start, tmp_path: Path):
    stuck = tmp_path / "stuck"
    worker = start("--executor=torch", "--step-timeout-seconds=1", program=(str(SLOW), str(stuck)))
    flight = InFlight(worker, LONG | {"stream": True})
    assert worker.status("/health") == 200
    stuck.write_text("stuck")
    assert flight.join()[0].chunks[-1] == b":h\n\n"
    told = httpx.get(worker.url + "/health")
    assert told.status_code == 503
    assert "--step-timeout-seconds" in told.json()["detail"]


def test_only_gateways_ask_for_it(start, tmp_path: Path):
    worker = start(env={"FASTCHAT_INTERNAL_TOKEN": "secret"})
    assert httpx.post(worker.url + "/internal/handover").status_code == 401
    known = {"Authorization": "Bearer secret"}
    assert httpx.post(worker.url + "/internal/handover", headers=known).status_code == 409
