"""A head that is recognised says what a parser would say of it, or is not recognised."""

from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastchat_gateway.http.head_cache import HeadCache
from fastchat_gateway.http.request_head import RequestHead

START = b"POST /v1/chat/completions HTTP/1.1\r\n"
HEAD = START + b"host: a\r\ncontent-type: application/json\r\ncontent-length: 5\r\nuser-agent: x\r\n\r\n"


def kept(head: bytes, body: bytes = b"hello") -> HeadCache[str]:
    """After a message that a parser has read, as a connection keeps its head."""
    last: HeadCache[str] = HeadCache()
    last.keep(head + body, head.count(b"\r\n") - 2, "said")
    return last


def parsed(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes] | None:
    """Headers and body of a message that is whole, with nothing after it, by the parser."""
    found: dict[str, Any] = {"headers": [], "body": b"", "complete": 0}

    class Callbacks:
        def on_header(self, name: bytes, value: bytes) -> None:
            found["headers"].append((name, value))

        def on_body(self, body: bytes) -> None:
            found["body"] += body

        def on_message_complete(self) -> None:
            found["complete"] += 1

    try:
        httptools.HttpRequestParser(Callbacks()).feed_data(data)
    except httptools.HttpParserError:
        return None
    return (found["headers"], found["body"]) if found["complete"] == 1 else None


def test_the_same_head_with_another_length_is_recognised() -> None:
    last = kept(HEAD)
    assert last.body(HEAD + b"hello") == b"hello"
    assert last.body(HEAD.replace(b"5", b"11") + b"hello world") == b"hello world"
    assert last.body(HEAD.replace(b"5", b"0")) == b""
    assert last.said == "said"


@pytest.mark.parametrize(
    "data",
    [
        HEAD,
        HEAD + b"hell",
        HEAD + b"hello!",
        HEAD.replace(b"host: a", b"host: b") + b"hello",
        HEAD.replace(b"x\r\n", b"x\r\nextra: y\r\n") + b"hello",
        HEAD.replace(b": 5", b": +5") + b"hello",
        HEAD.replace(b": 5", b": 5 ") + b"hello",
        HEAD.replace(b": 5", b": 5, 5") + b"hello",
        HEAD.replace(b": 5", b": ") + b"hello",
        HEAD.replace(b": 5", b": 0000000005") + b"hello",
        HEAD[20:] + b"hello",
        b"",
        b"\r\n\r\n",
    ],
)
def test_whatever_else_arrives_is_left_to_the_parser(data: bytes) -> None:
    assert kept(HEAD).body(data) is None


@pytest.mark.parametrize(
    ("headers", "head"),
    [
        (4, HEAD.replace(b"content-length: 5", b"x-content-length: 5")),
        (4, HEAD.replace(b"content-length: 5", b"content-length:5")),
        (4, HEAD.replace(b"\r\ncontent-length", b"\ncontent-length")),
        (4, HEAD.replace(b"x\r\n", b"x\r\n folded\r\n")),
        (5, HEAD.replace(b"x\r\n", b"x\r\nbody-length: 7\r\n")),
        (5, HEAD.replace(b"x\r\n", b"x\r\nContent-Length: 5\r\n")),
        (5, HEAD.replace(b"x\r\n", b"x\r\nTransfer-Encoding: chunked\r\n")),
        (4, HEAD.replace(b"user-agent: x", b"user-agent: " + b"x" * 5000)),
        (1, START + b"host: a\r\n\r\n"),
    ],
)
def test_a_head_that_is_not_plain_is_not_kept(headers: int, head: bytes) -> None:
    last: HeadCache[str] = HeadCache()
    last.keep(head + b"hello", headers, "said")
    assert last.body(head + b"hello") is None


@given(
    st.lists(st.sampled_from(list(b"\r\n :5x")), max_size=8).map(bytes),
    st.integers(0, len(HEAD)),
    st.integers(0, 6),
    st.binary(max_size=12),
)
@example(b"", 0, 0, b"hello")
@example(b"", HEAD.index(b"5"), 1, b"")
@example(b"12", HEAD.index(b"5"), 1, b"hello world!")
def test_what_is_recognised_is_what_the_parser_reads(put: bytes, at: int, cut: int, body: bytes) -> None:
    """A few bytes of a head are replaced by others: smuggling begins where two readers disagree."""
    data = HEAD[:at] + put + HEAD[at + cut :] + body
    recognised = kept(HEAD).body(data)
    if recognised is not None:
        read = parsed(data)
        assert read is not None
        headers, in_it = read
        assert in_it == recognised
        assert [header for header in headers if header[0] != b"content-length"] == [
            (b"host", b"a"),
            (b"content-type", b"application/json"),
            (b"user-agent", b"x"),
        ]


def request_head(*headers: tuple[bytes, bytes], http_1_0: bool = False) -> RequestHead:
    return RequestHead("POST", b"/v1/completions?a=b", list(headers), http_1_0=http_1_0, keep_alive=True)


def test_a_request_head_goes_on_in_part_and_never_with_its_key() -> None:
    head = request_head(
        (b"Authorization", b"Bearer secret"), (b"Accept", b"*/*"), (b"Cookie", b"c"), (b"TraceParent", b"t")
    )
    assert (head.path, head.to_worker, head.trace) == ("/v1/completions", b"accept: */*\r\n", b"traceparent: t\r\n")
    assert b"secret" not in repr([getattr(head, name) for name in RequestHead.__slots__]).encode()


@pytest.mark.parametrize("name", [b"X-Request-Id", b"Traceparent", b"Transfer-Encoding", b"Expect", b"Upgrade"])
def test_a_request_head_recurs_unless_it_is_one_of_a_kind(name: bytes) -> None:
    length = (b"Content-Length", b"5")
    assert request_head(length).recurs
    assert not request_head().recurs
    assert not request_head(length, (name, b"x")).recurs
    assert not request_head(length, http_1_0=True).recurs
