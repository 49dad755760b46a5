"""What is read of a worker's answer without a socket: its head, and a body in chunks, however they are cut."""

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_gateway.http.chunked import Chunked, whole_events
from fastchat_gateway.http.response_head import BadResponseError, read

SIZE = st.sampled_from([b"%x", b"%X", b"0%x", b"%x;a=b", b"%x ; a"])
DATA = st.tuples(st.binary(min_size=1, max_size=40), st.sampled_from([b"", b"\n\n", b"\r\n\r\n"])).map(b"".join)
CHUNKS = st.lists(st.tuples(DATA, SIZE), max_size=6)
EVENT_ENDS = (b"\n\n", b"\r\n\r\n")
LAST = st.sampled_from([b"0\r\n\r\n", b"00\r\n\r\n", b"0;a\r\nx: y\r\nset-cookie: a\r\n\r\n"])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


def by_h11(chunks: bytes) -> bytes:
    """The body, as another reader has it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="POST", target="/", headers=[("host", "a"), ("content-length", "0")]))
    client.send(h11.EndOfMessage())
    client.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
    body = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        assert event is not h11.NEED_DATA
        body += bytes(event.data) if isinstance(event, h11.Data) else b""
    assert not event.headers
    return body


@given(CHUNKS, LAST, st.lists(st.integers(0, 400), max_size=6))
def test_chunks_are_the_same_body_however_they_are_cut(chunks, last, cuts) -> None:
    body = b"".join(data for data, _ in chunks)
    sent = b"".join(size % len(data) + b"\r\n" + data + b"\r\n" for data, size in chunks) + last
    chunked = Chunked()
    assert b"".join(map(chunked.feed, pieces(sent, cuts))) == body
    assert chunked.complete


@given(CHUNKS, LAST, st.lists(st.integers(0, 400), max_size=6))
def test_what_goes_on_as_it_came_is_the_same_body_in_plain_chunks(chunks, last, cuts) -> None:
    body = b"".join(data for data, _ in chunks)
    sent = b"".join(size % len(data) + b"\r\n" + data + b"\r\n" for data, size in chunks) + last
    chunked, passed = Chunked(), b""
    for piece in pieces(sent, cuts):
        end, number = whole_events(piece, len(piece)) if chunked.is_between else (0, 0)
        part = chunked.feed(piece[end:])
        assert len(piece[:end]) - len(Chunked().feed(piece[:end])) in range(5 * number, 7 * number + 1)
        passed += piece[:end] + (b"%x\r\n%b\r\n" % (len(part), part) if part else b"")
    assert by_h11(passed + b"0\r\n\r\n") == body


@given(st.binary(max_size=30), st.lists(st.integers(0, 100), max_size=3))
def test_what_comes_after_the_last_chunk_is_known_to_be_none_of_it(more, cuts) -> None:
    chunked = Chunked()
    for piece in pieces(b"5\r\nhello\r\n0\r\n\r\n" + more, cuts):
        if not chunked.complete:
            chunked.feed(piece)
    assert chunked.complete
    if not cuts:
        assert chunked.surplus == bool(more)


def whole(parts: list[bytes], extension: bytes = b"") -> bytes:
    return b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)


@given(st.lists(DATA, min_size=1, max_size=4), st.integers(0, 300), st.integers(0, 300))
def test_events_go_on_up_to_the_last_chunk_before_the_limit_that_ends_with_one(parts, place, limit) -> None:
    data = whole(parts)
    ends = [len(whole(parts[:number])) for number in range(len(parts) + 1)]
    event_ends = [0, *(end for part, end in zip(parts, ends[1:], strict=True) if part.endswith(EVENT_ENDS))]
    end = max(each for each in event_ends if each <= limit)
    assert whole_events(data, min(limit, len(data))) == (end, ends.index(end))
    begun = Chunked()
    begun.feed(data[: place % len(data)])
    assert begun.is_between == (place % len(data) in ends)


@pytest.mark.parametrize(
    "data",
    [
        whole([b"x\n\n"], b";x"),
        whole([b"x" * 20]),
        whole([b"\n"]),
        whole([b"\r\n"]),
        b"0\r\n\r\n",
        b"3\r\nx\n",
        b"+3\r\nx\n\n\r\n",
        b"",
    ],
)
def test_what_is_no_whole_plain_chunk_with_an_event_is_not_taken_for_one(data) -> None:
    assert whole_events(data, len(data)) == (0, 0)


@given(st.lists(st.sampled_from(list(b"0123;\r\n ax")), max_size=14).map(bytes))
def test_chunks_that_h11_does_not_take_are_not_taken(data) -> None:
    chunked = Chunked()
    try:
        body = chunked.feed(data)
    except BadResponseError:
        return
    if chunked.complete and not chunked.surplus:
        assert by_h11(data) == body


def test_a_head_goes_to_the_client_by_an_allow_list() -> None:
    fields = b"set-cookie: a\r\nX-FastChat-Load: 1\r\nconnection: x-a\r\nx-a: 1\r\ncache-control: public\r\n"
    head = read(b"HTTP/1.1 200 OK\r\n%bContent-Type: text/event-stream; charset=utf-8\r\n\r\n" % fields)
    assert head.streams
    assert head.to_client.splitlines() == [
        b"content-type: text/event-stream; charset=utf-8",
        b"x-fastchat-load: 1",
        b"cache-control: no-cache",
        b"x-accel-buffering: no",
    ]


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: Close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\n", False),
    ],
)
def test_a_connection_is_used_again_where_the_answers_end_is_plain(head, keep_alive) -> None:
    assert read(head).keep_alive == keep_alive
