"""A stream of units that is cut and lost anywhere: what the client has is what the next worker is told."""

import json
import random
import re
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
from fastchat_gateway.proxy.resumption import ResumeBudget, Resumption
from fastchat_gateway.routing.catalog import Catalog, EndpointRecord, ModelRecord
from fastchat_gateway.telemetry.metrics import Metrics
from fastchat_gateway.workers.pool import Pool
from fastchat_gateway.workers.upstream import Upstream

BODY = b'{"model":"m","stream":true}'
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"x-fastchat-resumable: 1\r\ntransfer-encoding: chunked\r\n\r\n"
)
EVENT = b"data: {}\n\n"
DONE = b"data: [DONE]\n\n"
OPENING = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n:r 1764510000 00000000000000ff abcd\n\n'
CLOSING = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n' + DONE
CHOICES = 3


def unit(token: int, choice: int = 0, more: bytes = b"") -> bytes:
    event = b'data: {"choices":[{"index":%d,"delta":{"content":" t%d\\n:t 0 9"}}]}\n\n' % (choice, token)
    return event + b":t %d %d%b\n\n" % (choice, token, more)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Client:
    """A sink."""

    request_id = b"the-request"

    def __init__(self) -> None:
        self.body = b""
        self.over = ""

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.body, self.over = body, f"whole {status}"

    def begin(self, status: int, lines: bytes, *, streams: bool) -> None:
        pass

    def write(self, data: bytes, *, chunks: int = 0, more: bool = False) -> None:
        self.body += Chunked().feed(data) if chunks else data

    def end(self, data: bytes) -> None:
        self.body += data
        self.over = "ended"

    def used(self, tokens: Tokens) -> None:
        pass

    def refuse(self, refusal: RefusedError) -> None:
        self.over = refusal.error.code or ""

    def comment(self) -> None:
        pass

    @property
    def shown(self) -> list[tuple[int, int]]:
        """Choice and number of each token that has come, in order."""
        found = re.findall(rb'"index":(\d+),"delta":\{"content":" t(\d+)', self.body)
        return [(int(choice), int(token)) for choice, token in found]


class Scene:
    """A request for one model, whose workers have an idle connection each."""

    def __init__(
        self, workers: int, *, stream: bool = True, chunks: bool = True, most: int = 2**20, choices: int = 1
    ) -> None:
        catalog = Catalog()
        self.pool = Pool(Clock(), connect_timeout=1)
        urls = [f"http://worker-{number}" for number in range(workers)]
        catalog.update([ModelRecord("m", ("m",), tuple(EndpointRecord(url, ready=True) for url in urls))])
        self.upstreams = [self._connected(url) for url in urls]
        discovery: Any = SimpleNamespace(contact=None, ready=True)
        self.metrics = Metrics(catalog, discovery)
        self.budget = ResumeBudget(most)
        context = RelayContext(catalog, self.pool, self.metrics, comment_seconds=60, resuming=self.budget)
        self.client = Client()
        model = catalog.find("m")
        assert model is not None
        self.model = model
        call = Call("m", b"/v1/chat/completions", BODY, b"", stream, is_resumable=True, sequences=choices)
        self.attempts = Attempts(context, call, self.client, model, chunks=chunks)
        self.attempts.start(time.monotonic())

    def _connected(self, url: str) -> Upstream:
        upstream = Upstream(self.pool, url)
        transport: Any = SimpleNamespace(
            sent=b"", write=lambda data: setattr(transport, "sent", transport.sent + data),
            abort=lambda: None, is_closing=lambda: False,
        )  # fmt: skip
        upstream.connection_made(transport)
        self.pool.give_back(upstream)
        return upstream

    @property
    def busy(self) -> Upstream:
        (busy,) = [upstream for upstream in self.upstreams if upstream.is_active]
        return busy

    @property
    def asked(self) -> tuple[dict[str, str], bytes]:
        """The head and the body that the worker got which has the request."""
        transport: Any = self.busy._transport
        head, body = transport.sent.split(b"\r\n\r\n", 1)
        return dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:]), body

    @property
    def told(self) -> dict[str, Any]:
        """What the worker that has the request is to go on from."""
        headers, body = self.asked
        size = int(headers["x-fastchat-resume"])
        assert body[size:] == BODY
        told: dict[str, Any] = json.loads(body[:size])
        return told

    def lose(self) -> None:
        self.busy.connection_lost(None)


@pytest.fixture(autouse=True)
async def _loop() -> None:
    """Attempts ask for the running loop."""


def units(seed: int, count: int) -> list[tuple[int, bytes]]:
    """Choice and unit, one after another; the token's number is its place."""
    draw = random.Random(seed)
    return [(choice, unit(number, choice)) for number in range(count) for choice in [draw.randrange(CHOICES)]]


@pytest.mark.parametrize("chunks", [True, False])
@pytest.mark.parametrize("seed", range(60))
async def test_the_next_worker_is_told_exactly_what_the_client_has(seed, chunks) -> None:
    draw = random.Random(seed)
    sent = units(seed, 60)
    wire = HEAD + chunk(OPENING) + b"".join(chunk(data) for _, data in sent)
    wire = wire[: draw.randrange(len(HEAD) + len(chunk(OPENING)), len(wire) + 1)]
    scene = Scene(2, chunks=chunks, choices=CHOICES)
    first = scene.busy
    while wire:
        size = draw.choice([1, 7, 50, 300, 5000])
        first.data_received(wire[:size])
        wire = wire[size:]
    shown = scene.client.shown
    scene.lose()
    told = [choice["tokens"] for choice in scene.told["choices"]]
    assert told == [[token for choice, token in shown if choice == index] for index in range(CHOICES)]
    assert scene.told["seed"] == "00000000000000ff"
    assert scene.told["model"] == "abcd"
    assert scene.busy is not first


async def test_a_stream_goes_on_where_it_was_and_ends_once() -> None:
    scene = Scene(3)
    scene.busy.data_received(HEAD + chunk(OPENING) + chunk(unit(1)) + chunk(unit(2))[:20])
    scene.lose()
    scene.busy.data_received(HEAD + chunk(unit(2)))
    scene.lose()
    assert scene.told["choices"] == [{"tokens": [1, 2], "cached": 0, "ended": False}]
    scene.busy.data_received(HEAD + chunk(unit(3, more=b" .")) + chunk(CLOSING) + b"0\r\n\r\n")
    assert scene.client.over == "ended"
    assert scene.client.body == OPENING + unit(1) + unit(2) + unit(3, more=b" .") + CLOSING
    assert scene.model.in_flight == 0


async def test_a_request_at_which_two_workers_die_without_a_token_is_given_up_and_named_in_the_log(caplog) -> None:
    scene = Scene(3)
    first = scene.busy
    first.data_received(HEAD + chunk(OPENING) + chunk(unit(1)))
    scene.lose()
    second = scene.busy
    scene.lose()
    (named,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert named == (
        "request the-request for model m is given up, for it may be what workers die of: "
        f"it was lost with {first.url} and {second.url}"
    )
    assert scene.client.over == "workers_failed"
    assert b'fastchat_gateway_cut_total{model="m",reason="workers_failed"} 1.0' in scene.metrics.render()


async def test_a_worker_that_stops_hands_its_stream_over() -> None:
    scene = Scene(2)
    first = scene.busy
    first.data_received(HEAD + chunk(OPENING) + chunk(unit(1, more=b" c7")) + chunk(b":h\n\n") + b"0\r\n\r\n")
    assert scene.busy is not first
    assert scene.told["choices"] == [{"tokens": [1], "cached": 7, "ended": False}]
    assert b'resumed_seconds_count{model="m",reason="handed_over"}' not in scene.metrics.render()
    assert scene.metrics.ends() == {"m": (0, 0, 1)}
    scene.busy.data_received(HEAD + chunk(unit(2)))
    assert b'resumed_seconds_count{model="m",reason="handed_over"} 1.0' in scene.metrics.render()
    assert first.url not in {each.url for each in scene.model.endpoints if each.failures}


async def test_a_whole_response_that_is_handed_over_goes_on_elsewhere() -> None:
    scene = Scene(2, stream=False)
    first, document = scene.busy, b'{"created":1}'
    first.data_received(
        b"HTTP/1.1 503 X\r\nx-fastchat-handed-over: 1\r\ncontent-length: %d\r\n\r\n%b" % (len(document), document)
    )
    assert scene.busy is not first
    assert scene.told == {"created": 1}
    scene.busy.data_received(b"HTTP/1.1 409 X\r\ncontent-length: 2\r\n\r\n{}")
    headers, body = scene.asked
    assert "x-fastchat-resume" not in headers or body.endswith(BODY)


async def test_a_worker_that_refuses_a_response_begun_anew_too_is_asked_no_third_time() -> None:
    scene, document = Scene(2, stream=False), b'{"created":1}'
    scene.busy.data_received(
        b"HTTP/1.1 503 X\r\nx-fastchat-handed-over: 1\r\ncontent-length: %d\r\n\r\n%b" % (len(document), document)
    )
    for _ in range(2):
        scene.busy.data_received(b"HTTP/1.1 400 X\r\ncontent-length: 2\r\n\r\n{}")
    assert scene.client.over == "whole 400"
    assert scene.model.in_flight == 0


async def test_workers_with_another_model_do_not_go_on_with_a_stream() -> None:
    scene = Scene(3)
    scene.busy.data_received(HEAD + chunk(OPENING) + chunk(unit(1)))
    scene.lose()
    for _ in range(2):
        scene.busy.data_received(b"HTTP/1.1 409 X\r\ncontent-length: 2\r\n\r\n{}")
    assert scene.client.over == "model_changed"


async def test_a_worker_that_begins_a_stream_anew_is_not_passed_on() -> None:
    scene = Scene(3)
    scene.busy.data_received(HEAD + chunk(OPENING) + chunk(unit(1)))
    scene.lose()
    scene.busy.data_received(HEAD.replace(b"x-fastchat-resumable: 1\r\n", b"") + chunk(OPENING))
    assert scene.client.body == OPENING + unit(1)
    scene.busy.data_received(HEAD + chunk(unit(2)))
    assert scene.client.body == OPENING + unit(1) + unit(2)


async def test_closing_events_come_once_when_the_worker_is_lost_behind_them() -> None:
    scene = Scene(2, choices=CHOICES)
    wire = HEAD + chunk(OPENING) + b"".join(chunk(unit(1, choice, b" .")) for choice in range(CHOICES))
    scene.busy.data_received(wire)
    scene.busy.data_received(chunk(DONE))
    scene.lose()
    assert scene.client.over == "ended"
    assert scene.client.body.endswith(DONE)
    assert scene.client.body.count(DONE) == 1


async def test_a_stream_beyond_what_may_be_kept_is_cut_and_counted() -> None:
    scene = Scene(2, most=1000)
    scene.busy.data_received(HEAD + chunk(OPENING) + b"".join(chunk(unit(number)) for number in range(500)))
    scene.lose()
    assert scene.client.over == "worker_lost"
    assert b'fastchat_gateway_cut_total{model="m",reason="not_resumable"} 1.0' in scene.metrics.render()
    scene.attempts.close()
    assert scene.budget.used == 0


def test_a_token_takes_less_than_16_bytes() -> None:
    budget = ResumeBudget(2**20)
    resumption = Resumption(budget)
    resumption.keep(OPENING)
    for number in range(10_000, 20_000):
        resumption.keep(unit(number))
    assert len(json.loads(resumption.document())["choices"][0]["tokens"]) == 10_000
    assert 0 < budget.used <= 16 * 10_000
    resumption.close()
    assert budget.used == 0


@pytest.mark.parametrize(
    "comment", [b":t x 1\n\n", b":t 0 1,y\n\n", b":t 99999 1\n\n", b":t 0 -1\n\n", b":t 0\n\n", b":r 1\n\n"]
)
def test_a_comment_that_makes_no_sense_makes_a_stream_one_that_cannot_be_resumed(comment) -> None:
    resumption = Resumption(ResumeBudget(2**20))
    resumption.keep(OPENING)
    assert resumption.is_possible
    resumption.keep(EVENT + comment)
    assert not resumption.is_possible
