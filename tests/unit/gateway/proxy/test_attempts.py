import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from fastchat_gateway.clock import Clock
from fastchat_gateway.errors import RefusedError
from fastchat_gateway.http.chunked import Chunked
from fastchat_gateway.proxy.attempts import Attempts
from fastchat_gateway.proxy.call import Call
from fastchat_gateway.proxy.context import RelayContext
from fastchat_gateway.proxy.documents import Tokens
from fastchat_gateway.routing.catalog import Catalog, EndpointRecord, ModelRecord, QueueLimits
from fastchat_gateway.telemetry.metrics import Metrics
from fastchat_gateway.workers.pool import Pool
from fastchat_gateway.workers.upstream import Upstream

BODY = b'{"model":"m"}'
EVENT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


class Transport:
    """What a worker's connection writes, without a socket."""

    def __init__(self) -> None:
        self.sent = b""
        self.aborted = False
        self.reading = True

    def write(self, data: bytes) -> None:
        self.sent += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Worker:
    """A worker with one idle connection, as the gateway sees it."""

    def __init__(self, pool: Pool, url: str) -> None:
        self.url = url
        self.transport: Any = Transport()
        self.upstream = Upstream(pool, url)
        self.upstream.connection_made(self.transport)
        pool.give_back(self.upstream)

    @property
    def has_request(self) -> bool:
        return self.upstream.is_active

    def say(self, status: int, body: bytes = b"{}") -> None:
        self.upstream.data_received(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))

    def stream(self, *events: bytes) -> None:
        self.upstream.data_received(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for event in events:
            self.go_on(event)

    def go_on(self, data: bytes) -> None:
        self.upstream.data_received(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.upstream.data_received(b"0\r\n\r\n")

    def die(self) -> None:
        self.upstream.connection_lost(None)


class Client:
    """A sink: what the client gets."""

    request_id = b"the-request"

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.over = ""
        self.tokens: Tokens | None = None
        self.commented, self.refused = asyncio.Event(), asyncio.Event()

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.status, self.body, self.over = status, body, "whole"

    def begin(self, status: int, lines: bytes, *, streams: bool) -> None:
        self.status = status

    def write(self, data: bytes, *, chunks: int = 0, more: bool = False) -> None:
        self.body += Chunked().feed(data) if chunks else data

    def end(self, data: bytes) -> None:
        self.body += data
        self.over = "ended"

    def used(self, tokens: Tokens) -> None:
        self.tokens = tokens

    def refuse(self, refusal: RefusedError) -> None:
        self.over = refusal.error.code or ""
        self.refused.set()

    def comment(self) -> None:
        self.commented.set()


class Scene:
    """Workers of one model, of which each has an idle connection, and a request for it."""

    def __init__(
        self, workers: int, *, stream: bool = False, chunks: bool = False, queue: QueueLimits | None = None
    ) -> None:
        self.catalog = Catalog()
        self.pool = Pool(Clock(), connect_timeout=1)
        urls = [f"http://worker-{number}" for number in range(workers)]
        endpoints = tuple(EndpointRecord(url, ready=True) for url in urls)
        self.record = ModelRecord("m", ("m",), endpoints, queue=queue or QueueLimits())
        self.catalog.update([self.record])
        self.workers = [Worker(self.pool, url) for url in urls]
        discovery: Any = SimpleNamespace(contact=None, ready=True)
        self.context = RelayContext(self.catalog, self.pool, Metrics(self.catalog, discovery), comment_seconds=0.01)
        self.client = Client()
        model = self.catalog.find("m")
        assert model is not None
        self.model = model
        call = Call("m", b"/v1/chat/completions", BODY, b"", stream, hides_usage=stream)
        self.attempts = Attempts(self.context, call, self.client, model, chunks=chunks)
        self.attempts.start(time.monotonic())

    @property
    def busy(self) -> Worker:
        """The worker that has the request."""
        (busy,) = [worker for worker in self.workers if worker.has_request]
        return busy

    @property
    def outstanding(self) -> int:
        return sum(endpoint.outstanding for endpoint in self.model.endpoints)


async def test_a_whole_response_goes_to_the_client_and_the_connection_back_to_the_pool() -> None:
    scene = Scene(1)
    assert scene.outstanding == 1
    worker = scene.busy
    worker.say(200, b'{"a":1}')
    assert (scene.client.status, scene.client.body, scene.client.over) == (200, b'{"a":1}', "whole")
    assert scene.outstanding == 0
    assert scene.pool.take(worker.url) is worker.upstream


@pytest.mark.parametrize("status", [502, 503])
async def test_a_worker_that_declines_is_followed_by_another(status: int) -> None:
    scene = Scene(2)
    first = scene.busy
    first.say(status)
    assert scene.busy is not first
    scene.busy.say(200)
    assert (scene.client.status, scene.outstanding) == (200, 0)


async def test_a_worker_lost_before_its_response_has_begun_is_followed_by_another() -> None:
    scene = Scene(2)
    first = scene.busy
    first.upstream.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
    first.die()
    assert scene.busy is not first
    scene.busy.say(200)
    assert scene.client.over == "whole"


async def test_a_request_that_two_workers_were_lost_to_gets_no_third() -> None:
    scene = Scene(3)
    scene.busy.die()
    scene.busy.die()
    assert (scene.client.over, scene.outstanding) == ("workers_failed", 0)


async def test_the_connection_of_a_worker_that_may_have_closed_it_is_made_anew() -> None:
    scene = Scene(0)
    scene.pool.clock.now = 0.0
    worker = Worker(scene.pool, "http://127.0.0.1:1")
    scene.pool.clock.now = 2.0
    scene.catalog.update([ModelRecord("m", ("m",), (EndpointRecord(worker.url, ready=True),))])
    assert worker.has_request
    worker.die()
    assert scene.outstanding == 1  # it is being connected to
    scene.attempts.cancel()
    await asyncio.sleep(0)
    assert (scene.outstanding, scene.client.over) == (0, "")


async def test_full_workers_are_passed_over_and_the_last_ones_response_is_given() -> None:
    scene = Scene(2)
    full = json.dumps({"error": {"message": "full", "code": "queue_full"}}).encode()
    scene.busy.say(429, full)
    scene.busy.say(429, full)
    assert (scene.client.status, scene.client.body) == (429, full)
    assert not any(endpoint.failures for endpoint in scene.model.endpoints)


async def test_a_worker_that_may_not_know_usage_gets_the_request_once_more_without() -> None:
    scene = Scene(1, stream=True)
    worker = scene.busy
    assert b"include_usage" in worker.transport.sent
    worker.transport.sent = b""
    worker.say(400)
    assert worker.transport.sent
    assert b"include_usage" not in worker.transport.sent
    worker.say(400)
    assert (scene.client.status, scene.outstanding) == (400, 0)


async def test_a_stream_goes_on_in_whole_events_without_the_usage_that_its_client_did_not_ask_for() -> None:
    scene = Scene(1, stream=True)
    worker = scene.busy
    worker.stream(EVENT, EVENT[:9])
    assert scene.client.body == EVENT
    worker.go_on(EVENT[9:] + USAGE)
    worker.go_on(DONE)
    worker.end()
    assert (scene.client.body, scene.client.tokens, scene.client.over) == (EVENT * 2 + DONE, (3, 5), "ended")
    assert scene.outstanding == 0


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


async def test_a_stream_is_the_same_to_its_client_wherever_it_is_cut() -> None:
    sent = STREAM + chunked(EVENT, EVENT, EVENT * 2 + EVENT[:5], EVENT[5:], EVENT, USAGE, DONE) + b"0\r\n\r\n"
    cuts = [[sent[:place], sent[place:]] for place in range(1, len(sent))]
    cuts += [[sent[at : at + size] for at in range(0, len(sent), size)] for size in range(1, 80)]
    for pieces in cuts:
        scene = Scene(1, stream=True, chunks=True)
        worker = scene.busy
        for piece in pieces:
            worker.upstream.data_received(piece)
        assert (scene.client.body, scene.client.tokens) == (EVENT * 6 + DONE, (3, 5))
        assert (scene.client.over, worker.transport.aborted) == ("ended", False)


async def test_a_stream_that_has_begun_is_not_sent_elsewhere() -> None:
    scene = Scene(2, stream=True)
    scene.busy.stream(EVENT)
    scene.busy.die()
    assert (scene.client.body, scene.client.over) == (EVENT, "worker_lost")
    assert not any(worker.has_request for worker in scene.workers)


async def test_a_stream_of_which_no_event_has_come_is_sent_elsewhere() -> None:
    scene = Scene(2, stream=True)
    scene.busy.stream()
    scene.busy.die()
    assert scene.busy
    assert scene.client.status == 0


async def test_what_may_have_silenced_a_worker_is_given_up_and_what_has_not_goes_elsewhere() -> None:
    for suspect, code in ((True, "worker_silent"), (False, "")):
        scene = Scene(2)
        scene.busy.upstream.give_up("silent", suspect=suspect)
        assert scene.client.over == code
        assert any(worker.has_request for worker in scene.workers) is not suspect


async def test_two_responses_that_make_no_sense_are_enough() -> None:
    scene = Scene(3)
    scene.busy.upstream.data_received(b"nonsense")
    scene.busy.upstream.data_received(b"nonsense")
    assert (scene.client.over, scene.outstanding) == ("bad_answer", 0)


async def test_nothing_is_heard_of_a_request_after_it_was_cancelled() -> None:
    scene = Scene(1, stream=True)
    worker = scene.busy
    worker.stream(EVENT)
    scene.attempts.cancel()
    assert worker.transport.aborted
    assert (scene.client.body, scene.client.over, scene.outstanding) == (EVENT, "", 0)


async def test_back_pressure_reaches_the_worker_that_has_the_request() -> None:
    scene = Scene(1, stream=True)
    worker = scene.busy
    scene.attempts.pause()
    assert not worker.transport.reading
    scene.attempts.resume()
    assert worker.transport.reading


async def test_a_request_waits_in_the_queue_until_a_worker_is_there() -> None:
    scene = Scene(0, stream=True)
    assert scene.model.queue.length == 1
    await asyncio.wait_for(scene.client.commented.wait(), 10)
    worker = Worker(scene.pool, "http://late")
    scene.catalog.update([ModelRecord("m", ("m",), (EndpointRecord(worker.url, ready=True),))])
    assert (worker.has_request, scene.model.queue.length) == (True, 0)


async def test_a_request_waits_no_longer_than_its_queue_allows() -> None:
    scene = Scene(0, queue=QueueLimits(timeout_seconds=0.01))
    await asyncio.wait_for(scene.client.refused.wait(), 10)
    assert scene.client.over == "no_worker"


async def test_a_request_finds_no_place_in_a_full_queue() -> None:
    scene = Scene(0, queue=QueueLimits(max_requests=0))
    assert scene.client.over == "queue_full"


async def test_a_large_response_that_is_no_stream_goes_on_in_parts_and_tells_its_usage() -> None:
    scene = Scene(1)
    worker = scene.busy
    end = b'","usage":{"prompt_tokens":1,"completion_tokens":2}}'
    large = b'{"text":"' + b"x" * 2**20
    worker.upstream.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(large) + len(end)))
    worker.upstream.data_received(large)
    assert scene.client.body == large
    worker.upstream.data_received(end)
    assert (scene.client.body, scene.client.tokens, scene.client.over) == (large + end, (1, 2), "ended")


async def test_a_worker_that_declines_at_great_length_is_not_listened_to() -> None:
    scene = Scene(2)
    first = scene.busy
    first.upstream.data_received(b"HTTP/1.1 503 X\r\ncontent-length: %d\r\n\r\n" % 2**30)
    first.upstream.data_received(b"x" * (2**20 + 1))
    assert first.transport.aborted
    assert scene.busy is not first
