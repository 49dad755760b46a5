"""Requests that say two things: refused, or read in one way only."""

import asyncio
import json
import re
import socket

import pytest
from integration.gateway.server.wire import (
    BODY,
    CHAT,
    CHUNKED,
    CHUNKS,
    HIDDEN,
    LINE,
    SIZED,
    coded,
    in_chunks,
    post,
    refusal_of,
    sized,
    statuses,
)

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
    answers = await asyncio.wait_for(caller.receive(), 60)
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
