"""Clients that mean harm, or behave as if they did."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import httptools
import psutil
import pytest
from integration.gateway.process import Process

CHAT = "/v1/chat/completions"
LINE = b"POST /v1/chat/completions HTTP/1.1"
BODY = b'{"model":"m"}'
SIZED = b"content-length: 13"
CHUNKED = b"transfer-encoding: chunked"
CHUNKS = b"d\r\n" + BODY + b"\r\n0\r\n\r\n"


def post(*headers: bytes, line: bytes = LINE, host: bytes = b"host: x", body: bytes = BODY) -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *headers, b"", b""]) + body


HIDDEN = post(SIZED)
"""A request that a server finds where it misjudges the end of the one before."""


@dataclass
class Caller:
    """A connection whose every byte a test chooses."""

    sock: socket.socket

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # closed in the middle of it: there is an answer to read
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self.sock, 2**16)
        except ConnectionError:
            return b""

    async def until(self, mark: bytes) -> bytes:
        """What comes, up to a part that contains the mark."""
        got = b""
        async with asyncio.timeout(5):
            while mark not in got and (part := await self.receive()):
                got += part
        assert mark in got
        return got

    async def rest(self, seconds: float = 5) -> bytes:
        """What comes until the gateway closes the connection, which it must."""
        got = b""
        async with asyncio.timeout(seconds):
            while part := await self.receive():
                got += part
        return got


Dial = Callable[[str], Caller]


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connects to a gateway by its URL."""
    with contextlib.ExitStack() as stack:

        def connect(url: str) -> Caller:
            host, _, port = url.removeprefix("http://").partition(":")
            sock = stack.enter_context(socket.create_connection((host, int(port))))
            sock.setblocking(False)
            return Caller(sock)

        yield connect


@pytest.fixture
async def alone(worker) -> AsyncIterator[Process]:
    """A gateway in a process of its own, so that its memory can be looked at."""
    process = Process("--worker", worker.url, "--no-access-log", "--open-metrics", "--max-connections=20000")
    yield await process.ready()
    process.popen.kill()
    process.popen.wait()


def memory_mib(process: Process) -> float:
    return float(psutil.Process(process.popen.pid).memory_info().rss) / 2**20


def statuses(answers: bytes) -> list[int]:
    """A mark that is in no body here."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def refusal_of(answers: bytes) -> int:
    """The status of the only answer, whose body has OpenAI's shape."""
    (status,) = statuses(answers)
    head, _, body = answers.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head.lower()
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    return status


def body_of(answer: bytes) -> bytes:
    """Without head and chunks."""
    parts: list[bytes] = []
    httptools.HttpResponseParser(SimpleNamespace(on_body=parts.append)).feed_data(answer)
    return b"".join(parts)


# --------------------------------------------------------------------------------------------------------------------
# Requests that say two things
# --------------------------------------------------------------------------------------------------------------------


def sized(value: bytes) -> bytes:
    return post(b"content-length: " + value)


def coded(value: bytes) -> bytes:
    return post(b"transfer-encoding: " + value, body=CHUNKS)


def in_chunks(chunks: bytes) -> bytes:
    return post(CHUNKED, body=chunks)


MALFORMED = {
    "a length and chunks": post(SIZED, CHUNKED, body=CHUNKS),
    "chunks and a length": post(CHUNKED, SIZED, body=CHUNKS),
    "chunks and the length 0": post(CHUNKED, b"content-length: 0", body=CHUNKS),
    "two lengths": post(SIZED, b"content-length: 12"),
    "the same length twice": post(SIZED, SIZED),
    "a list of lengths": sized(b"13, 13"),
    "a length with a plus": sized(b"+13"),
    "a negative length": sized(b"-13"),
    "a hexadecimal length": sized(b"0xd"),
    "a length with a space in it": sized(b"1 3"),
    "an empty length": sized(b""),
    "a length with a fraction": sized(b"13.0"),
    "a length in other digits": sized("١٣".encode()),
    "a length beyond 64 bits": sized(b"18446744073709551629"),
    "chunks in HTTP/1.0": post(CHUNKED, line=LINE[:-1] + b"0", body=CHUNKS),
    "another coding": coded(b"gzip"),
    "another coding before chunks": coded(b"gzip, chunked"),
    "another coding after chunks": coded(b"chunked, identity"),
    "identity": coded(b"identity"),
    "chunks twice": coded(b"chunked, chunked"),
    "chunks in two headers": post(CHUNKED, CHUNKED, body=CHUNKS),
    "almost chunks": coded(b"xchunked"),
    "chunks with a parameter": coded(b"chunked;q=1"),
    "chunks after a vertical tab": coded(b"\x0bchunked"),
    "quoted chunks": coded(b'"chunked"'),
    "chunks and another header of codings": post(CHUNKED, b"transfer-encoding: identity", body=CHUNKS),
    "a chunk's size with a plus": in_chunks(b"+" + CHUNKS),
    "a chunk's negative size": in_chunks(b"-" + CHUNKS),
    "a chunk's size with 0x": in_chunks(b"0x" + CHUNKS),
    "a chunk's size after a space": in_chunks(b" " + CHUNKS),
    "a chunk's size before a space": in_chunks(CHUNKS.replace(b"d\r", b"d \r", 1)),
    "a chunk's size that is no number": in_chunks(b"z\r\n" + CHUNKS),
    "a chunk without a size": in_chunks(b"\r\n" + CHUNKS),
    "a chunk's size beyond 64 bits": in_chunks(b"1000000000000000" + CHUNKS),
    "a chunk's size before a bare LF": in_chunks(CHUNKS.replace(b"d\r\n", b"d\n", 1)),
    "a chunk's extension with a bare LF": in_chunks(CHUNKS.replace(b"d\r\n", b"d;x\n\r\n", 1)),
    "a chunk's extension with a bare CR": in_chunks(CHUNKS.replace(b"d\r\n", b"d;x\ry\r\n", 1)),
    "a chunk longer than it says": in_chunks(CHUNKS.replace(b"d\r\n", b"c\r\n", 1)),
    "a chunk that ends in a bare LF": in_chunks(CHUNKS.replace(b"}\r\n", b"}\n")),
    "a last chunk with a space before its size": in_chunks(CHUNKS.replace(b"\r\n0", b"\r\n 0")),
    "a trailer without a name": in_chunks(CHUNKS[:-2] + b": x\r\n\r\n"),
    "a folded header": post(b"x: a\r\n b", SIZED),
    "a folded length": post(b"content-length:\r\n 13"),
    "a first header with a space before it": post(SIZED, host=b" host: x"),
    "a space before a colon": post(b"content-length : 13"),
    "a tab before a colon": post(b"content-length\t: 13"),
    "a bare LF after a header": post(b"x: a\ncontent-length: 13"),
    "a bare LF after the request line": post(SIZED).replace(b"\r\n", b"\n", 1),
    "a bare LF at the end of the head": post(SIZED).replace(b"\r\n\r\n", b"\r\n\n"),
    "a bare CR in a header": post(b"x: a\rb", SIZED),
    "a NUL in a header": post(b"x: a\0b", SIZED),
    "a control character in a header": post(b"x: a\x01b", SIZED),
    "a control character in a name": post(b"x\x01: a", SIZED),
    "a NUL in a name": post(b"x\0: a", SIZED),
    "a space in a name": post(b"x y: a", SIZED),
    "a bracket in a name": post(b"x(: a", SIZED),
    "a letter outside of ASCII in a name": post(b"x\xe9: a", SIZED),
    "a header without a name": post(b": a", SIZED),
    "a header without a colon": post(b"x", SIZED),
    "no host": post(SIZED, host=b""),
    "two hosts": post(b"host: y", SIZED),
    "a host with a space": post(SIZED, host=b"host: x y"),
    "a host with a path": post(SIZED, host=b"host: x/y"),
    "two spaces in the request line": post(SIZED, line=LINE.replace(b" ", b"  ", 1)),
    "a tab in the request line": post(SIZED, line=LINE.replace(b" ", b"\t", 1)),
    "a space in the path": post(SIZED, line=LINE.replace(b"/chat", b" /chat")),
    "a control character in the path": post(SIZED, line=LINE.replace(b"/chat", b"\x01/chat")),
    "a bare CR in the path": post(SIZED, line=LINE.replace(b"/chat", b"\r/chat")),
    "no version": post(SIZED, line=LINE[:-9]),
    "another protocol": post(SIZED, line=LINE.replace(b"HTTP", b"RTSP")),
    "a version of one number": post(SIZED, line=LINE[:-2]),
    "a version of three numbers": post(SIZED, line=LINE + b".1"),
    "HTTP/2.0 in plain text": post(SIZED, line=LINE.replace(b"1.1", b"2.0")),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method in small letters": post(SIZED, line=LINE.replace(b"POST", b"post")),
    "a method that is not there": post(SIZED, line=LINE.replace(b"POST", b"POSTER")),
    "a method with a control character": post(SIZED, line=b"\x01" + LINE),
    "a tunnel": post(line=b"CONNECT example.com:443 HTTP/1.1", body=b""),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_request_is_refused_and_nothing_after_it_is_read(gateway, worker, dial, request_) -> None:
    caller = dial(gateway.url)
    await caller.send(request_ + HIDDEN)
    assert refusal_of(await caller.rest()) in {400, 405, 413, 501, 505}
    assert worker.requests == []
    assert (await gateway.chat()).status_code == 200


WELL_FORMED = {
    "a length": post(SIZED),
    "a length with zeros before it": sized(b"00000000000000000000013"),
    "a length between blanks": post(b"content-length:\t 13 \t"),
    "chunks": in_chunks(CHUNKS),
    "chunks in large letters": coded(b"Chunked"),
    "many chunks": in_chunks(b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"),
    "a chunk's size in large letters with zeros": in_chunks(b"000" + CHUNKS.replace(b"d", b"D", 1)),
    "a chunk's extension": in_chunks(CHUNKS.replace(b"d\r\n", b'd;x="y"\r\n', 1)),
    "a trailer": in_chunks(CHUNKS[:-2] + b"x-trailer: y\r\n\r\n"),
    "an empty line before it": b"\r\n" + post(SIZED),
    "an offer of HTTP/2": post(SIZED, b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: x"),
    "HTTP/1.0": post(SIZED, line=LINE[:-1] + b"0"),
    "HTTP/1.0 without a host": post(SIZED, line=LINE[:-1] + b"0", host=b""),
    "an absolute address": post(SIZED, line=LINE.replace(b"/v1", b"http://x/v1")),
}


@pytest.mark.parametrize("request_", WELL_FORMED.values(), ids=WELL_FORMED)
@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
async def test_a_well_formed_request_reaches_the_worker_as_one(gateway, worker, dial, request_, pieces) -> None:
    caller = dial(gateway.url)
    for part in [request_] if pieces == "whole" else [request_[at : at + 1] for at in range(len(request_))]:
        await caller.send(part)
        await asyncio.sleep(0)
    await caller.until(b'{"answer": "hello"}')
    (seen,) = worker.requests
    assert (seen.method, seen.path, seen.body) == ("POST", CHAT, BODY)
    assert seen.headers["content-length"] == "13"
    assert not seen.headers.keys() & {"transfer-encoding", "x-trailer", "upgrade", "http2-settings", "trailer"}


async def test_an_offer_of_another_protocol_is_not_taken(gateway, worker, dial) -> None:
    caller = dial(gateway.url)
    await caller.send(post(SIZED, b"connection: upgrade, close", b"upgrade: websocket") + HIDDEN)
    (status,) = statuses(await caller.rest())
    assert status in {200, 400}  # a server may ignore it
    assert [request.body for request in worker.requests] == [BODY] * (status == 200)


async def test_headers_that_the_client_calls_its_connections_own_do_not_reach_the_worker(gateway, worker, dial) -> None:
    caller = dial(gateway.url)
    hop = [b"connection: close, x-mine, content-length", b"x-mine: 1", b"keep-alive: 9", b"te: trailers", b"x-own: 2"]
    await caller.send(post(SIZED, *hop, b"proxy-authorization: Basic eDp5"))
    assert statuses(await caller.rest()) == [200]
    assert not worker.requests[0].headers.keys() & {"x-mine", "keep-alive", "te", "proxy-authorization"}
    assert worker.requests[0].body == BODY


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/../../../metrics",
        "/v1/./chat/completions",
        "//v1/chat/completions",
        "/v1/chat/completions/",
        "/v1/chat%2fcompletions",
        "/v1/chat/complet%69ons",
        "/v1/chat/completions%00",
        "/v1/chat/completions%0d%0ax-injected:%20y",
        "/v1/chat/completions?x=%0d%0ax-injected:%20y",
        "/v1/chat/completions;x",
        "/v1/chat/completions#x",
        "\\v1\\chat\\completions",
        "http://elsewhere:1/v1/chat/completions",
    ],
)
async def test_a_worker_sees_none_but_its_own_routes(gateway, worker, dial, path) -> None:
    caller = dial(gateway.url)
    await caller.send(post(SIZED, b"connection: close", line=f"POST {path} HTTP/1.1".encode()))
    (status,) = statuses(await caller.rest())
    assert status == 200 if worker.requests else status in {400, 404}
    assert {request.path for request in worker.requests} <= {CHAT}
    assert not any("x-injected" in request.headers for request in worker.requests)


async def test_a_request_inside_a_body_is_only_a_body(gateway, worker, dial) -> None:
    inside = json.dumps({"model": "m", "x": HIDDEN.decode()}).replace("\\r\\n", "\r\n").encode()
    caller = dial(gateway.url)
    await caller.send(post(b"content-length: %d" % len(inside), b"connection: close", body=inside))
    assert statuses(await caller.rest()) == [400]  # line breaks are none of JSON's strings
    assert worker.requests == []


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_body_that_nobody_asked_for_is_not_taken_for_a_request(gateway, worker, dial, method) -> None:
    caller = dial(gateway.url)
    head = [b"content-length: %d" % len(HIDDEN), b"connection: close"]
    await caller.send(post(*head, line=f"{method} /v1/models HTTP/1.1".encode(), body=HIDDEN))
    assert len(statuses(await caller.rest())) == 1
    assert worker.requests == []


@pytest.mark.parametrize("line", [LINE, b"POST /v1/models HTTP/1.1", b"POST /nothing HTTP/1.1"])
async def test_the_rest_of_a_body_that_is_too_large_is_not_taken_for_a_request(gateway, worker, dial, line) -> None:
    caller = dial(gateway.url)
    await caller.send(post(b"content-length: 99000000", line=line, body=HIDDEN * 3))
    answers = await asyncio.wait_for(caller.receive(), 5)
    caller.sock.shutdown(socket.SHUT_WR)
    answers += await caller.rest()
    assert len(statuses(answers)) == 1
    assert worker.requests == []


async def test_pipelined_requests_are_answered_one_after_the_other(gateway, worker, dial) -> None:
    async def echoes(connection) -> None:
        await asyncio.sleep(0.1 / (1 + connection.request.json["n"]))  # the first takes the longest
        connection.answer(200, {"echo": connection.request.json["n"]})

    worker.behaviour = echoes
    bodies = [b'{"model":"m","n":%d}' % n for n in range(5)]
    caller = dial(gateway.url)
    await caller.send(b"".join(post(b"content-length: 19", body=body) for body in bodies))
    answers = await caller.until(b'{"echo": 4}')
    assert re.findall(rb'"echo": (\d)', answers) == [b"0", b"1", b"2", b"3", b"4"]
    assert [request.body for request in worker.requests] == bodies


async def test_a_client_that_asks_whether_to_go_on_is_told(gateway, worker, dial) -> None:
    caller = dial(gateway.url)
    await caller.send(post(SIZED, b"expect: 100-continue", b"connection: close", body=b""))
    assert statuses(await caller.until(b"\r\n\r\n")) == [100]
    await caller.send(BODY)
    assert statuses(await caller.rest()) == [200]
    assert "expect" not in worker.requests[0].headers


# --------------------------------------------------------------------------------------------------------------------
# What crosses from one request to the next
# --------------------------------------------------------------------------------------------------------------------


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
            answers += await asyncio.wait_for(caller.receive(), 5)
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


# --------------------------------------------------------------------------------------------------------------------
# Heads without end
# --------------------------------------------------------------------------------------------------------------------

ENDLESS = {
    "one header": post(SIZED, b"x: " + b"a" * 2**20),
    "one header that never ends": post(SIZED, b"x: ", body=b"")[:-4] + b"a" * 2**20,
    "many headers": post(SIZED, *[b"x-%d: aaaaaaaaaaaaaaaa" % n for n in range(40_000)]),
    "many empty headers": post(SIZED, *[b"x:"] * 250_000),
    "a name": post(SIZED, b"x" * 2**20 + b": a"),
    "a path": post(SIZED, line=LINE.replace(b"/v1", b"/" + b"a" * 2**20)),
    "a query": post(SIZED, line=LINE.replace(b" HTTP", b"?" + b"a" * 2**20 + b" HTTP")),
    "a method": b"A" * 2**20,
    "trailers": in_chunks(CHUNKS[:-2] + b"x: aaaaaaaaaaaaaaaa\r\n" * 50_000),
    "a chunk's extension": in_chunks(b"d;" + b"x" * 2**20),
    "chunks' extensions": in_chunks((b"1;" + b"x" * 1000 + b"\r\n \r\n") * 1000),
    "empty lines": b"\r\n" * 2**19,
}


@pytest.mark.parametrize("request_", ENDLESS.values(), ids=ENDLESS)
async def test_a_megabyte_before_the_body_is_refused(gateway, worker, dial, request_) -> None:
    caller = dial(gateway.url)
    await caller.send(request_)
    assert refusal_of(await caller.rest()) in {400, 413, 414, 431}
    assert worker.requests == []
    assert (await gateway.chat()).status_code == 200


async def test_headers_of_64_kibibytes_are_431_and_those_of_60_are_served(gateway, dial) -> None:
    for size, expected in ((60, 200), (65, 431)):
        caller = dial(gateway.url)
        await caller.send(post(SIZED, b"connection: close", b"x: " + b"a" * size * 1024))
        assert statuses(await caller.rest()) == [expected]


async def test_heads_without_end_do_not_fill_the_memory(alone, dial) -> None:
    before = memory_mib(alone)
    callers = [dial(alone.url) for _ in range(100)]
    await asyncio.gather(*[caller.send(ENDLESS["one header that never ends"]) for caller in callers])
    await asyncio.gather(*[caller.rest() for caller in callers])
    assert memory_mib(alone) - before < 50


# --------------------------------------------------------------------------------------------------------------------
# Clients that take their time
# --------------------------------------------------------------------------------------------------------------------


async def test_a_head_that_comes_byte_by_byte_is_given_up_in_time(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, header_timeout_seconds=0.5)
    caller = dial(gateway.url)

    async def trickle() -> None:
        await caller.send(LINE + b"\r\nx: ")
        while True:
            await caller.send(b"a")
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    assert refusal_of(await caller.rest()) == 408
    trickling.cancel()
    assert (await gateway.chat()).status_code == 200


async def test_the_time_for_a_head_begins_again_with_each_request(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, header_timeout_seconds=0.3)
    caller = dial(gateway.url)
    for _ in range(3):
        await caller.send(post(SIZED))
        await caller.until(b'{"answer": "hello"}')
        await asyncio.sleep(0.4)
    await caller.send(LINE)
    assert refusal_of(await caller.rest()) == 408


async def test_a_long_answer_is_not_cut_for_want_of_another_request(start_gateway, worker, dial) -> None:
    async def late(connection) -> None:
        await asyncio.sleep(0.8)
        connection.answer(200, {"answer": "late"})

    gateway = await start_gateway(worker, header_timeout_seconds=0.2, client_timeout_seconds=0.2)
    worker.behaviour = late
    caller = dial(gateway.url)
    await caller.send(post(SIZED))
    await caller.until(b'{"answer": "late"}')


async def test_a_body_that_comes_slowly_but_comes_is_served(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, header_timeout_seconds=0.3, client_timeout_seconds=0.5)
    caller = dial(gateway.url)
    await caller.send(post(SIZED, body=b""))
    for byte in BODY:
        await asyncio.sleep(0.1)
        await caller.send(bytes([byte]))
    await caller.until(b'{"answer": "hello"}')
    assert worker.requests[0].body == BODY


@pytest.mark.parametrize(
    "request_",
    [post(SIZED, body=b"{"), in_chunks(b"d\r\n{"), in_chunks(b"")],
    ids=["in a body", "in a chunk", "before a chunk"],
)
async def test_a_body_that_does_not_come_is_given_up_in_time(start_gateway, worker, dial, request_) -> None:
    gateway = await start_gateway(worker, client_timeout_seconds=0.5)
    caller = dial(gateway.url)
    await caller.send(request_)
    assert refusal_of(await caller.rest()) == 408
    assert worker.requests == []


async def test_a_client_that_does_not_read_is_cut_and_its_worker_freed(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, client_timeout_seconds=0.5)
    worker.behaviour = floods(worker)
    caller = dial(gateway.url)
    await caller.send(post(b"content-length: 27", body=b'{"model":"m","stream":true}'))
    await asyncio.wait_for(worker.left.wait(), 5)
    assert await gateway.metric("requests_in_flight", model="m") == 0


async def test_a_client_that_reads_slowly_but_reads_gets_every_byte(start_gateway, worker, dial) -> None:
    async def numbers(connection) -> None:
        connection.start_stream()
        for number in range(400):
            await connection.chunk(b"data: %d %08000d\n\n" % (number, 0))
        connection.writer.write(b"0\r\n\r\n")

    gateway = await start_gateway(worker, client_timeout_seconds=1)
    worker.behaviour = numbers
    caller = dial(gateway.url)
    caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
    await caller.send(post(b"content-length: 27", body=b'{"model":"m","stream":true}'))
    got = b""
    while not got.endswith(b"0\r\n\r\n") and (part := await asyncio.wait_for(caller.receive(), 5)):
        got += part
        await asyncio.sleep(0.01)
    assert [int(number) for number in re.findall(rb"data: (\d+) ", body_of(got))] == list(range(400))


async def test_clients_that_do_not_read_do_not_fill_the_memory(alone, worker, dial) -> None:
    worker.behaviour = floods(worker)
    before = memory_mib(alone)
    for _ in range(50):
        await dial(alone.url).send(post(b"content-length: 27", body=b'{"model":"m","stream":true}'))
    async with asyncio.timeout(10):
        while len(worker.requests) < 50:  # noqa: ASYNC110  # nothing says so
            await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    assert memory_mib(alone) - before < 50
    worker.behaviour = None
    async with alone.client() as client:
        assert (await client.post(CHAT, json={"model": "m"})).status_code == 200


def floods(worker):
    """64 MiB as fast as they are taken; sets `left` when they are taken no more."""

    async def behaviour(connection) -> None:
        connection.start_stream()
        try:
            for _ in range(1024):
                await connection.chunk(b"x" * 2**16)
        except ConnectionError:
            worker.left.set()
            raise

    return behaviour


async def test_ten_thousand_idle_connections_keep_nobody_from_being_served(many_files, alone, dial) -> None:
    before = memory_mib(alone)
    callers = [dial(alone.url) for _ in range(10_000)]
    async with alone.client() as client:
        for _ in range(20):
            assert (await client.post(CHAT, json={"model": "m"})).status_code == 200
    assert memory_mib(alone) - before < 200
    await callers[-1].send(post(SIZED))
    await callers[-1].until(b'{"answer": "hello"}')


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as this process may have; processes that it starts inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 10_500:
        pytest.skip(f"not more than {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --------------------------------------------------------------------------------------------------------------------
# More connections than there can be
# --------------------------------------------------------------------------------------------------------------------


async def test_connections_have_a_limit_and_unfinished_heads_count(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, max_connections=3)
    waiting = [dial(gateway.url) for _ in range(3)]
    await waiting[0].send(LINE)
    await waiting[1].send(post(SIZED))
    await waiting[1].until(b'{"answer": "hello"}')
    surplus = dial(gateway.url)
    await surplus.send(HIDDEN)
    refused = await surplus.rest()
    assert refusal_of(refused) == 503
    assert b'"code":"overloaded"' in refused
    assert len(worker.requests) == 1
    await waiting[1].send(post(SIZED, b"connection: close"))
    assert statuses(await waiting[1].rest()) == [200]
    waiting[1].sock.close()
    async with asyncio.timeout(5):
        while len(gateway.server.gateway.connections) > 2:  # noqa: ASYNC110  # it is in another thread
            await asyncio.sleep(0.01)
    late = dial(gateway.url)
    await late.send(HIDDEN)
    await late.until(b'{"answer": "hello"}')


async def test_probes_are_answered_beyond_the_limit_so_that_nobody_restarts_the_gateway(
    start_gateway, worker, dial
) -> None:
    gateway = await start_gateway(worker, max_connections=1)
    dial(gateway.url)
    for path in (b"/health", b"/ready"):
        kubelet = dial(gateway.url)
        await kubelet.send(post(line=b"GET " + path + b" HTTP/1.1", body=b""))
        assert statuses(await kubelet.rest()) == [200]


async def test_far_too_many_connections_are_closed_without_a_word(start_gateway, worker, dial) -> None:
    gateway = await start_gateway(worker, max_connections=1)
    callers = [dial(gateway.url) for _ in range(100)]
    ends = await asyncio.gather(*[asyncio.wait_for(caller.receive(), 5) for caller in callers[-20:]])
    assert ends == [b""] * 20


@contextlib.contextmanager
def no_more_files(process: Process) -> Iterator[None]:
    """The process can open nothing more."""
    pid = process.popen.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(taken) + 1)) - taken), hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_lack_of_descriptors_is_503_and_never_a_workers_failure(alone, worker, dial) -> None:
    async with alone.client() as client:
        assert (await client.get("/health")).status_code == 200
        with no_more_files(alone):
            for _ in range(5):
                answer = await client.post(CHAT, json={"model": "m"})
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
            await asyncio.sleep(0.5)  # discovery looks ten times a second
            metrics = (await client.get("/metrics")).text
            assert 'fastchat_gateway_endpoints_ready{model="m"} 1.0' in metrics
        assert (await client.post(CHAT, json={"model": "m"})).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert not re.search(r"(retries|ejections)_total{[^}]*} [1-9]", metrics)
    assert len(worker.requests) == 1


async def test_connections_that_cannot_be_accepted_cost_the_gateway_nothing(alone, dial) -> None:
    async with alone.client() as client:
        assert (await client.get("/health")).status_code == 200
        process = psutil.Process(alone.popen.pid)
        with no_more_files(alone):
            callers = [dial(alone.url) for _ in range(20)]
            before = sum(process.cpu_times()[:2])
            await asyncio.sleep(1)
            assert sum(process.cpu_times()[:2]) - before < 0.5
            assert (await client.get("/health")).status_code == 200
        assert len(callers) == 20
    late = dial(alone.url)
    await late.send(HIDDEN)
    await late.until(b'{"answer": "hello"}')
