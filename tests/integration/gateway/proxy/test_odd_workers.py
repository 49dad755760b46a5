"""A hostile or odd worker hurts only its own answers: raw bytes over real sockets, and what comes of them."""

import asyncio
import random
import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastchat_gateway.workers import upstream

CHAT = "/v1/chat/completions"
JSON = b'{"answer": "hello"}'
EVENT = b"data: hello 12345\n\n"
assert len(JSON) == len(EVENT) == 0x13
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
LENGTH = HEAD + b"content-length: 19\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
CHUNK = b"13\r\n" + JSON + b"\r\n"
PLAIN = LENGTH + JSON
OTHER = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"


def status(line: bytes) -> bytes:
    return PLAIN.replace(b"HTTP/1.1 200 OK", line)


def field(line: bytes) -> bytes:
    return PLAIN.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)


NO_ANSWER = {
    "status 99": status(b"HTTP/1.1 099 X"),
    "status 600": status(b"HTTP/1.1 600 X"),
    "status 999": status(b"HTTP/1.1 999 X"),
    "status of four digits": status(b"HTTP/1.1 2000 X"),
    "status that is no number": status(b"HTTP/1.1 2x0 X"),
    "no status": status(b"HTTP/1.1"),
    "another protocol is taken up": status(b"HTTP/1.1 101 Switching Protocols"),
    "interim answers without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + PLAIN,
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no content, with content": status(b"HTTP/1.1 204 No Content"),
    "not modified, with content": status(b"HTTP/1.1 304 Not Modified"),
    "a part of it": status(b"HTTP/1.1 206 Partial Content"),
    "HTTP/0.9": JSON,
    "HTTP/1.2": status(b"HTTP/1.2 200 OK"),
    "HTTP/2": status(b"HTTP/2 200"),
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "lower case": status(b"http/1.1 200 OK"),
    "bare line feeds": PLAIN.replace(b"\r\n", b"\n"),
    "a bare line feed": PLAIN.replace(b"\r\n", b"\n", 1),
    "a bare carriage return": field(b"x-a: b\rcontent-length: 4"),
    "a folded field": field(b"x-a: b\r\n content-length: 4"),
    "a space before the colon": field(b"content-length : 4"),
    "a field without colon": field(b"content-length 4"),
    "a field without name": field(b": 4"),
    "a null byte": field(b"x-a: b\0"),
    "the same length twice": field(b"content-length: 19"),
    "two lengths": field(b"content-length: 4"),
    "a list of lengths": PLAIN.replace(b"19", b"19, 19"),
    "a length with a sign": PLAIN.replace(b"19", b"+19"),
    "a negative length": PLAIN.replace(b"19", b"-1"),
    "a length of 400 digits": PLAIN.replace(b"19", b"1" * 400),
    "a length and chunks": field(b"transfer-encoding: chunked"),
    "another transfer-encoding": PLAIN.replace(b"content-length: 19", b"transfer-encoding: gzip, chunked"),
    "two transfer-encodings": CHUNKED.replace(b"chunked", b"chunked\r\ntransfer-encoding: chunked") + CHUNK,
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNK + b"0\r\n\r\n",
    "compressed": field(b"content-encoding: gzip"),
    "a field without end": HEAD + b"x-a: " + b"a" * 40_000,
    "fields without end": HEAD + b"x-a: a\r\n" * 5000,
    "too many fields": field(b"\r\n".join([b"x-a: a"] * 200)),
}
BAD_CHUNKS = {
    "an extension without end": b"13;" + b"a" * 5000,
    "a size in another notation": CHUNK.replace(b"13", b"0x13"),
    "a size with a sign": CHUNK.replace(b"13", b"+13"),
    "a size with a separator": CHUNK.replace(b"13", b"1_3"),
    "a size after a space": CHUNK.replace(b"13", b" 13"),
    "a size of 17 digits": CHUNK.replace(b"13", b"0" * 15 + b"13"),
    "no size": b"\r\n",
    "a chunk longer than its size": CHUNK.replace(b"13", b"12"),
    "a bare line feed after the size": CHUNK.replace(b"\r\n", b"\n", 1),
    "a bare line feed after the chunk": CHUNK[:-2] + b"\n0\r\n\r\n",
    "a trailer without end": b"0\r\nx-a: " + b"a" * 5000,
    "trailers without end": b"0\r\n" + b"x-a: a\r\n" * 100,
}
FINE = {
    "interim answers before it": b"HTTP/1.1 102 X\r\n\r\nHTTP/1.1 103 X\r\nlink: <a>\r\nset-cookie: a=b\r\n\r\n"
    + PLAIN,
    "no reason": status(b"HTTP/1.1 200"),
    "a reason in Latin-1": status(b"HTTP/1.1 200 sch\xf6n"),
    "an answer after it": PLAIN + OTHER,
    "an answer after its chunks": CHUNKED + CHUNK + b"0\r\n\r\n" + OTHER,
    "nonsense after it": PLAIN + b"\0\xff\r\n",
    "an empty line after it": PLAIN + b"\r\n",
    "extensions of chunks": CHUNKED + CHUNK.replace(b"13", b'13;a="b";c') + b"0;d\r\n\r\n",
    "chunks of one byte": CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in JSON) + b"0\r\n\r\n",
    "a size with zeros": CHUNKED + CHUNK.replace(b"13", b"00000013") + b"000\r\n\r\n",
    "trailers": CHUNKED + CHUNK + b"0\r\nset-cookie: a=b\r\nx-accel-redirect: /secret\r\n\r\n",
    "fields for a proxy": field(
        b"X-Accel-Redirect: /secret\r\nX-Sendfile: /etc/passwd\r\nx-accel-expires: 9\r\nvia: x"
    ),
    "fields for a browser": field(b"set-cookie: a=b\r\nrefresh: 0\r\nstrict-transport-security: x\r\nalt-svc: x"),
    "fields that are ours to set": field(b"date: x\r\nx-request-id: x\r\nx-ratelimit-limit-requests: 9\r\nserver: x"),
    "hop-by-hop fields": field(b"upgrade: h2c\r\nkeep-alive: timeout=9\r\nproxy-authenticate: Basic\r\nte: x"),
    "a type with control characters": field(b"retry-after: 1\x01\x1b[0m"),
    "usage of 400 digits": b'"prompt_tokens": 1%b, "completion_tokens": 1%b' % (b"0" * 400, b"0" * 400),
    "usage of 5000 digits": b'"prompt_tokens": 1%b, "completion_tokens": 1%b' % (b"0" * 5000, b"0" * 5000),
    "usage that is no number": b'"prompt_tokens": -1, "completion_tokens": 1e999',
    "usage in no UTF-8": b'"prompt_tokens": \xff\xfe, "completion_tokens": "\\ud800"',
}
SHOWN = {"date", "content-type", "content-length", "transfer-encoding", "connection", "x-request-id"}
SHOWN_OF_STREAMS = SHOWN | {"cache-control", "x-accel-buffering"}


def with_usage(answer: bytes) -> bytes:
    """Where it is only an answer's usage that is odd."""
    if answer.startswith(b"HTTP/"):
        return answer
    body = b'{"answer": "hello", "usage": {%b}}' % answer
    return PLAIN.replace(b"19", b"%d" % len(body)).replace(JSON, body)


def as_stream(answer: bytes) -> bytes:
    """The same oddity around an event instead of a document."""
    if b"usage" in answer:
        body = b'data: {"hello 12345": 1, "choices": [0], "usage": {%b}}\n\n' % answer.partition(b'"usage": {')[2][:-2]
        return CHUNKED.replace(b"application/json", b"text/event-stream") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    answer = answer.replace(b"".join(b"1\r\n%c\r\n" % x for x in JSON), b"".join(b"1\r\n%c\r\n" % x for x in EVENT))
    return answer.replace(b"application/json", b"text/event-stream").replace(JSON, EVENT)


def sends(data: bytes, *, and_closes: bool = False):
    """What a worker does that says this."""

    async def behaviour(connection) -> None:
        connection.writer.write(data)
        await connection.writer.drain()
        if and_closes:
            connection.writer.close()

    return behaviour


@pytest.fixture
async def odd(start_worker):
    """A worker of model `odd`."""
    return await start_worker(cards=[{"id": "odd"}])


@pytest.fixture
async def gateway(start_gateway, worker, odd):
    """Before an odd worker and a healthy one."""
    return await start_gateway(odd, worker)


async def outcome(gateway, **asked) -> str:
    """What a client makes of an answer, in a few words; every refusal is in OpenAI's shape."""
    answer = await gateway.chat(model="odd", **asked)
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    assert set(answer.headers) <= (SHOWN_OF_STREAMS if asked.get("stream") else SHOWN), answer.headers
    assert "evil" not in answer.text
    return ("hello" if "hello" in answer.text else "") + (" broken" if '"error"' in answer.text else "")


async def others_are_served(gateway) -> bool:
    """The next request on the client's connection gets its own answer, and so does Prometheus."""
    answer = await gateway.chat()
    metrics = list(text_string_to_metric_families((await gateway.client.get("/metrics")).text))
    return (answer.status_code, answer.json()) == (200, {"answer": "hello"}) and len(metrics) > 5


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_no_answer_is_told_as_such_and_nobody_else_notices(gateway, worker, odd, stream) -> None:
    outcomes = {}
    for name, raw in NO_ANSWER.items():
        odd.behaviour = sends(as_stream(raw) if stream else raw)
        outcomes[name] = await outcome(gateway, stream=stream), await others_are_served(gateway)
    assert outcomes == dict.fromkeys(NO_ANSWER, ("502 bad_answer", True))


async def test_chunks_that_make_no_sense_are_no_answer(gateway, odd) -> None:
    outcomes = {}
    for name, raw in BAD_CHUNKS.items():
        odd.behaviour = sends(CHUNKED + CHUNK + raw)
        outcomes[name] = await outcome(gateway), await others_are_served(gateway)
    assert outcomes == dict.fromkeys(BAD_CHUNKS, ("502 bad_answer", True))


async def test_a_stream_whose_chunks_make_no_sense_any_more_ends_with_an_error(gateway, odd) -> None:
    outcomes = {}
    for name, raw in BAD_CHUNKS.items():

        async def goes_wrong(connection, raw=raw) -> None:
            connection.writer.write(as_stream(CHUNKED + CHUNK))
            await asyncio.sleep(0.02)
            await sends(raw)(connection)

        odd.behaviour = goes_wrong
        outcomes[name] = await outcome(gateway, stream=True), await others_are_served(gateway)
    assert outcomes == dict.fromkeys(BAD_CHUNKS, ("hello broken", True))


@pytest.mark.parametrize("stream", [False, True])
async def test_an_odd_answer_that_is_one_passes_without_what_is_odd_about_it(gateway, worker, odd, stream) -> None:
    outcomes = {}
    for name, raw in FINE.items():
        answer = with_usage(raw)
        odd.behaviour = sends(as_stream(answer) if stream else answer)
        outcomes[name] = await outcome(gateway, stream=stream), await others_are_served(gateway)
        odd.behaviour = odd.says()
        assert (await gateway.chat(model="odd")).json() == {"answer": "hello"}
    assert outcomes == dict.fromkeys(FINE, ("hello", True))


async def test_an_answer_that_ends_with_its_connection_is_whole(gateway, odd) -> None:
    for head in (HEAD, HEAD.replace(b"1.1", b"1.0")):
        odd.behaviour = sends(head + b"\r\n" + JSON, and_closes=True)
        assert await outcome(gateway) == "hello"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_does_not_reach_the_client(gateway, worker, odd, status) -> None:
    odd.behaviour = odd.says(status, location=f"{worker.url}{CHAT}")
    assert await outcome(gateway) == "502 bad_answer"
    assert worker.requests == []


async def test_another_worker_is_asked_where_one_makes_no_sense(start_gateway, worker, start_worker) -> None:
    other = await start_worker(behaviour=sends(b"nonsense"))
    gateway = await start_gateway(worker, other)
    for _ in range(100):
        assert (await gateway.chat()).json() == {"answer": "hello"}
        if await gateway.metric("ejections_total", model="m"):
            break
    assert len(other.requests) == 3


async def test_a_head_that_never_ends_is_given_up(gateway, odd, monkeypatch) -> None:
    monkeypatch.setattr(upstream, "HEAD_SECONDS", 0.5)

    async def trickles(connection) -> None:
        connection.writer.write(HEAD)
        while not connection.writer.is_closing():
            connection.writer.write(b"x")
            await asyncio.sleep(0.1)

    odd.behaviour = trickles
    assert await outcome(gateway) == "502 bad_answer"


async def test_a_streams_chunks_reach_the_client_plain_however_they_came(gateway, odd) -> None:
    odd.behaviour = sends(
        as_stream(CHUNKED + CHUNK + CHUNK.replace(b"13", b"13;a=b") + CHUNK + b"0;x\r\nset-cookie: a=b\r\n\r\n")
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
    body = b'{"model":"odd","stream":true}'
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    head, chunks = await reader.readuntil(b"\r\n\r\n"), await reader.readuntil(b"\r\n0\r\n\r\n")
    assert b"set-cookie" not in head
    assert re.fullmatch(rb"([0-9a-f]+\r\n(%b)+\r\n)+0\r\n\r\n" % EVENT, chunks)
    assert chunks.count(EVENT) == 3
    writer.close()


def mutated(chance: random.Random, answer: bytes) -> bytes:
    """A few bytes lost, changed, repeated or put in."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(answer))
        piece = chance.choice(
            [b"", b"\r\n", b"\n", b"\r", b"\0", b"0", b"\xff", b": ", b"9" * 30, answer[at : at + 30]]
        )
        answer = answer[:at] + piece + answer[at + chance.randint(0, 3) :]
    return answer


async def test_whatever_a_worker_says_others_are_served(gateway, odd) -> None:
    chance = random.Random(11)  # the same cases each time
    valid = [PLAIN, CHUNKED + CHUNK + CHUNK.replace(b"13", b"13;a=b") + b"0\r\nx: y\r\n\r\n", FINE["trailers"]]
    for _ in range(300):
        stream = chance.random() < 0.5
        answer = mutated(chance, chance.choice(valid))
        odd.behaviour = sends(as_stream(answer) if stream else answer, and_closes=True)
        try:
            said = await gateway.chat(model="odd", stream=stream)
        except httpx.RemoteProtocolError:
            said = None  # cut in the middle, which a client sees
        if said is not None and said.status_code >= 500:
            assert said.json()["error"]["message"]
        healthy = await gateway.chat()
        assert (healthy.status_code, healthy.json()) == (200, {"answer": "hello"}), answer
    assert await others_are_served(gateway)
