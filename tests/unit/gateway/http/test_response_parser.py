import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_gateway.http.response_head import BadResponseError, ResponseHead
from fastchat_gateway.http.response_parser import ResponseParser

HEAD = b"HTTP/1.1 200 OK\r\n"
SIZED = HEAD + b"content-length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
OPEN = HEAD + b"\r\nhello"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
EVENT = b"data: x\n\n"
STREAM = HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Recorder:
    """A reader: what it was told, and the body that came of it."""

    def __init__(self, passes: int | None = None) -> None:
        """`passes`: so many bytes may come as chunks; None: all."""
        self.events: list[str] = []
        self.body = b""
        self.chunks = b""
        self._passes = passes

    def on_response(self, head: ResponseHead, body: bytes) -> None:
        self._tell("response", body)

    def on_head(self, head: ResponseHead) -> None:
        self._tell("head")

    def on_body(self, data: bytes) -> None:
        self._tell("body", data)

    def passes(self, data: bytes) -> int:
        return len(data) if self._passes is None else min(self._passes, len(data))

    def on_chunks(self, data: bytes, number: int, *, more: bool) -> None:
        self._tell(f"{number} chunks{', more' if more else ''}")
        self.chunks += data

    def on_complete(self, data: bytes) -> None:
        self._tell("complete", data)

    def on_lost(self, reason: str) -> None:
        self._tell("lost")

    def on_bad_response(self, reason: str) -> None:
        self._tell("bad")

    def on_silent(self, reason: str, *, suspect: bool) -> None:
        self._tell("silent")

    def _tell(self, event: str, data: bytes = b"") -> None:
        self.events.append(event)
        self.body += data


def read(parser: ResponseParser, *parts: bytes, chunks: bool = False, passes: int | None = None) -> Recorder:
    """What a reader is told of bytes that arrive a second apart."""
    reader = Recorder(passes)
    parser.expect(reader, chunks=chunks)
    for second, part in enumerate(parts):
        end = parser.feed(part, float(second))
        if end is not None:
            reader.events.append("reusable" if end.is_reusable else "not reusable")
            end.tell()
    return reader


@pytest.mark.parametrize("sent", [SIZED, CHUNKED, INTERIM + SIZED, INTERIM + INTERIM + CHUNKED])
@given(cuts=st.lists(st.integers(0, 120), max_size=5))
def test_a_response_has_the_same_body_however_it_is_cut(sent: bytes, cuts: list[int]) -> None:
    ends = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    reader = read(ResponseParser(), *(sent[start:stop] for start, stop in itertools.pairwise(ends)))
    assert reader.body == b"hello"
    assert reader.events[-2:] in (["reusable", "response"], ["reusable", "complete"])


def test_a_response_that_comes_at_once_is_one_event() -> None:
    parser = ResponseParser()
    assert read(parser, SIZED).events == ["reusable", "response"]
    assert read(parser, SIZED).events == ["reusable", "response"]  # by its head, which is known now
    assert not parser.is_reading


def test_a_response_of_unknown_length_ends_with_the_connection() -> None:
    parser = ResponseParser()
    reader = read(parser, OPEN)
    assert reader.events == ["head", "body"]
    end = parser.end_of_input()
    assert end is not None
    end.tell()
    assert (reader.events, reader.body) == (["head", "body", "complete"], b"hello")
    assert not end.is_reusable


@pytest.mark.parametrize("sent", [b"", SIZED[:10], SIZED[:-1], CHUNKED[:-1]])
def test_the_end_of_the_connection_is_no_end_of_a_response_that_has_its_own(sent: bytes) -> None:
    parser = ResponseParser()
    reader = read(parser, sent) if sent else read(parser)
    assert parser.end_of_input() is None
    assert parser.stop() is reader


def test_a_connection_with_surplus_bytes_is_not_used_again() -> None:
    assert read(ResponseParser(), SIZED[:-5], b"hello more").events == ["head", "not reusable", "complete"]
    assert read(ResponseParser(), CHUNKED + b"more").events == ["head", "not reusable", "complete"]


def test_a_reader_of_chunks_gets_those_that_end_with_an_event_as_they_came() -> None:
    chunk = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
    reader = read(ResponseParser(), STREAM + chunk * 2, chunk + b"3\r\nx", b"yz\r\n0\r\n\r\n", chunks=True)
    assert reader.events == ["head", "2 chunks", "1 chunks", "body", "body", "reusable", "complete"]
    assert (reader.chunks, reader.body) == (chunk * 3, b"xyz")


@pytest.mark.parametrize("cut", range(1, len(EVENT) + 2))
def test_after_the_rest_of_a_cut_chunk_the_next_ones_go_on_as_they_came(cut: int) -> None:
    chunk = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
    at = chunk.index(EVENT) + cut
    reader = read(ResponseParser(), STREAM + chunk[:at], chunk[at:] + chunk * 2, chunks=True)
    assert (reader.body, reader.chunks) == (EVENT, chunk * 2)
    assert reader.events[-1] == "2 chunks"


def test_chunks_that_come_with_the_end_say_that_more_follows() -> None:
    chunk = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
    reader = read(ResponseParser(), STREAM, chunk + b"0\r\n\r\n", chunks=True)
    assert reader.events == ["head", "1 chunks, more", "reusable", "complete"]


def test_a_reader_may_have_chunks_read_for_it() -> None:
    chunk = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
    reader = read(ResponseParser(), STREAM + chunk * 2, chunks=True, passes=len(chunk))
    assert (reader.chunks, reader.body) == (chunk, EVENT)
    assert read(ResponseParser(), STREAM + chunk * 2).body == EVENT * 2


def test_nothing_is_told_to_a_reader_that_has_gone() -> None:
    class Leaving(Recorder):
        def on_head(self, head: ResponseHead) -> None:
            super().on_head(head)
            parser.stop()

    parser = ResponseParser()
    reader = Leaving()
    parser.expect(reader)
    assert parser.feed(CHUNKED, 0.0) is None
    assert (reader.events, parser.is_reading) == (["head"], False)


def test_a_head_is_late_by_the_time_of_its_first_byte() -> None:
    parser = ResponseParser()
    read(parser, SIZED[:10], SIZED[10:20])
    assert parser.is_late(before=0.5)
    assert not parser.is_late(before=0.0)
    parser.feed(SIZED[20:], 2.0)
    assert not parser.is_late(before=100.0)


@pytest.mark.parametrize(
    "sent", [b"HTTP/2", INTERIM * 17, HEAD + b"content-length: x\r\n\r\n", b"HTTP/1.1 302 Found\r\n\r\n"]
)
def test_what_is_no_response_is_an_error(sent: bytes) -> None:
    with pytest.raises(BadResponseError):
        read(ResponseParser(), sent)
