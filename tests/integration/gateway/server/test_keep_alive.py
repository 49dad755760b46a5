"""What crosses from one request of a connection to the next: nothing."""

import asyncio
import hashlib
import json

import pytest
from integration.gateway.server.wire import (
    BODY,
    HIDDEN,
    LINE,
    SIZED,
    in_chunks,
    post,
    statuses,
)


async def test_bytes_of_a_body_that_look_like_an_offer_of_http2_are_the_bodys(gateway, worker, dial) -> None:
    """Deleted, they would be made up for with the first bytes of whoever comes next on the connection."""
    body = BODY + b"\r\nupgrade: h2c\r\n\r\n"
    caller = dial(gateway.url)
    await caller.send(post(b"content-length: %d" % len(body), body=body))
    assert statuses(await caller.until(b"is not valid JSON")) == [400]
    await caller.send(HIDDEN)
    assert statuses(await caller.until(b'{"answer": "hello"}')) == [200]
    assert [request.body for request in worker.requests] == [BODY]


async def test_pipelined_requests_with_different_keys_are_never_confused(start_gateway, worker, dial, tmp_path) -> None:
    for key, models in (("ours", ["m"]), ("theirs", ["another"])):
        record = {"sha256": hashlib.sha256(key.encode()).hexdigest(), "models": models}
        (tmp_path / key).write_text(json.dumps(record))
    gateway = await start_gateway(worker, keys_dir=tmp_path)
    ours, theirs = [post(SIZED, b"authorization: Bearer " + key) for key in (b"ours", b"theirs")]
    caller = dial(gateway.url)
    for segment, expected in ((ours + theirs, [200, 403]), (ours, [200]), (theirs + ours, [403, 200]), (theirs, [403])):
        await caller.send(segment)
        answers = b""
        while len(statuses(answers)) < len(expected):
            answers += await asyncio.wait_for(caller.receive(), 60)
        assert statuses(answers) == expected


EARLY = {
    "413 by its length": (413, [post(b"content-length: 99000000", body=b"")]),
    "413 by its chunks": (413, [in_chunks(b"5e69ec0\r\n")]),
    "431": (431, [LINE + b"\r\nx: " + b"a" * 2**17]),
    "400": (400, [post(b"content-length: x", body=b"")]),
    "408": (408, [post(SIZED, body=b"{")]),
}


@pytest.mark.parametrize(("status", "request_"), EARLY.values(), ids=EARLY)
async def test_an_early_answer_ends_the_connection(start_gateway, worker, dial, status, request_) -> None:
    gateway = await start_gateway(worker, client_timeout_seconds=0.5)
    caller = dial(gateway.url)
    await caller.send(HIDDEN + request_[0])
    answers = await caller.until(b"HTTP/1.1 %d" % status)
    await caller.send(HIDDEN)
    answers += await caller.rest()
    assert statuses(answers) == [200, status]
    assert b"connection: close" in answers.rpartition(b"HTTP/1.1")[2]
    assert len(worker.requests) == 1


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_a_refusal_of_what_was_read_whole_leaves_the_connection(gateway, dial, status) -> None:
    requests = {
        400: post(b"content-length: 2", body=b"{}"),
        404: post(SIZED, line=b"POST /nothing HTTP/1.1"),
        405: post(SIZED, line=b"PUT /v1/models HTTP/1.1"),
    }
    caller = dial(gateway.url)
    await caller.send(requests[status] + HIDDEN)
    assert statuses(await caller.until(b'{"answer": "hello"}')) == [status, 200]


async def test_the_leave_to_go_on_waits_for_its_turn(gateway, worker, dial) -> None:
    go_on = asyncio.Event()
    worker.behaviour = worker.waits_for(go_on, worker.says())
    caller = dial(gateway.url)
    await caller.send(HIDDEN + post(SIZED, b"expect: 100-continue", body=b""))
    await worker.arrived.wait()
    await asyncio.sleep(0.1)  # long enough for it to come too early
    go_on.set()
    assert statuses(await caller.until(b"100 Continue")) == [200, 100]
    await caller.send(BODY)
    await caller.until(b'{"answer": "hello"}')


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize("line", [LINE, b"GET /health HTTP/1.1"])
async def test_an_offer_of_another_protocol_gets_one_answer(gateway, worker, dial, protocol, line) -> None:
    caller = dial(gateway.url)
    await caller.send(post(SIZED, b"connection: upgrade", b"upgrade: " + protocol, line=line) + HIDDEN)
    await caller.send(post(SIZED, b"connection: close", line=b"POST /end HTTP/1.1"))
    assert statuses(await caller.rest()) == [200, 200, 404]
    assert [request.body for request in worker.requests] == [BODY] * (2 if line == LINE else 1)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/nothing", "/health"])
async def test_an_answer_to_head_has_no_body(start_gateway, worker, dial, path) -> None:
    """What would be one is taken for the next answer."""
    for keys in ((), (b"x" * 32,)):
        gateway = await start_gateway(worker, key_digests=keys)
        caller = dial(gateway.url)
        await caller.send(post(line=f"HEAD {path} HTTP/1.1".encode(), body=b""))
        await caller.send(post(b"connection: close", line=b"HEAD /end HTTP/1.1", body=b""))
        answers = await caller.rest()
        assert len(statuses(answers)) == 2
        assert answers.endswith(b"\r\n\r\n")
        assert all(part.startswith(b"HTTP/1.1 ") for part in answers.split(b"\r\n\r\n") if part)
