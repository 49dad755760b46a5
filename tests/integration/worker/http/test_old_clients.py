"""HTTP/1.0 asked of a worker directly, over plain sockets: nothing hangs, and nothing comes before the response."""

import json
import socket

import pytest

BODY = json.dumps({"model": "tiny", "prompt": "x", "max_tokens": 3}).encode()
EXPECT = b"Expect: 100-continue\r\n"


def asked(worker, head: bytes, body: bytes = b"") -> bytes:
    """All that is said to a request whose body does not wait for a word, until the connection is closed."""
    with socket.create_connection(("127.0.0.1", worker.port), timeout=30) as connection:
        connection.sendall(head)
        connection.sendall(body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _post(version: str, headers: bytes, body: bytes = BODY) -> bytes:
    return b"POST /v1/completions HTTP/%s\r\n%sContent-Length: %d\r\n\r\n" % (version.encode(), headers, len(body))


@pytest.mark.parametrize("headers", [b"", EXPECT, b"Connection: keep-alive\r\n", b"Host: x\r\n" + EXPECT])
def test_a_request_gets_one_response_and_the_end_of_the_connection(tiny, headers):
    said = asked(tiny, _post("1.0", headers), BODY)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in head
    assert json.loads(body)["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("headers", [b"", EXPECT])
def test_a_stream_comes_to_its_end(tiny, headers):
    body = BODY.replace(b"{", b'{"stream": true, ', 1)
    said = asked(tiny, _post("1.0", headers, body), body)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"data: [DONE]" in said


def test_a_refusal_does_not_wait_for_the_body(tiny):
    said = asked(tiny, b"POST /nowhere HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 404")


def test_a_probe_is_answered(tiny):
    assert asked(tiny, b"GET /health HTTP/1.0\r\n\r\n").endswith(b'{"status":"ok"}')


def test_a_client_of_http_1_1_that_expects_it_is_told_to_go_on(tiny):
    with socket.create_connection(("127.0.0.1", tiny.port), timeout=30) as connection:
        connection.sendall(_post("1.1", b"Host: x\r\nConnection: close\r\n" + EXPECT))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
