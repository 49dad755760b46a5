"""How answers are framed."""

import pytest

from fastchat_gateway.clock import Clock
from fastchat_gateway.server.writer import ResponseWriter

EVENT = b"data: x\n\n"


class Sent:
    """What a writer has written, after a request of this kind."""

    def __init__(self, method: str = "POST", *, http_1_0: bool = False, keep_alive: bool = True) -> None:
        self.parts: list[bytes] = []
        self.writer = ResponseWriter(self.parts.append, Clock())
        self.writer.begin(method=method, http_1_0=http_1_0, keep_alive=keep_alive)

    @property
    def head(self) -> list[bytes]:
        """Its lines, but for the date."""
        return [line for line in b"".join(self.parts).partition(b"\r\n\r\n")[0].split(b"\r\n") if line[:4] != b"date"]

    @property
    def body(self) -> bytes:
        return b"".join(self.parts).partition(b"\r\n\r\n")[2]


def test_a_whole_answer_has_its_length_and_goes_out_at_once() -> None:
    sent = Sent()
    sent.writer.whole(200, b"x: y\r\n", b"hello")
    assert (sent.head, sent.body) == ([b"HTTP/1.1 200 OK", b"x: y", b"content-length: 5"], b"hello")
    assert len(sent.parts) == 1


def test_parts_are_chunked_and_the_head_goes_out_with_the_first() -> None:
    sent = Sent()
    sent.writer.head(200, b"")
    assert sent.parts == []
    sent.writer.part(EVENT)
    sent.writer.part(b"", last=True)
    assert sent.head == [b"HTTP/1.1 200 OK", b"transfer-encoding: chunked"]
    assert sent.body == b"9\r\n" + EVENT + b"\r\n0\r\n\r\n"
    assert len(sent.parts) == 2


def test_what_is_chunked_already_passes_as_it_is() -> None:
    sent = Sent()
    sent.writer.head(200, b"")
    sent.writer.part(b"1\r\nx\r\n0\r\n\r\n", last=True, framed=True)
    assert sent.body == b"1\r\nx\r\n0\r\n\r\n"


def test_in_http_1_0_a_body_of_unknown_length_ends_with_the_connection() -> None:
    sent = Sent(http_1_0=True)
    assert not sent.writer.takes_chunks
    sent.writer.head(200, b"")
    sent.writer.part(EVENT, last=True)
    assert (sent.head, sent.body) == ([b"HTTP/1.1 200 OK", b"connection: close"], EVENT)
    assert not sent.writer.keep_alive


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("HEAD", 401), ("GET", 204), ("GET", 304)])
def test_an_answer_that_may_have_no_body_has_none(method: str, status: int) -> None:
    whole, parts = Sent(method), Sent(method)
    whole.writer.whole(status, b"", b"hello")
    parts.writer.head(status, b"")
    parts.writer.part(EVENT)
    parts.writer.part(b"", last=True)
    assert whole.body == parts.body == b""
    assert whole.head[1:] == ([b"content-length: 5"] if status not in (204, 304) else [])
    assert parts.head[1:] == []


def test_an_answer_that_ends_the_connection_says_so() -> None:
    for sent in (Sent(keep_alive=False), Sent("HEAD", keep_alive=False)):
        sent.writer.whole(413, b"", b"hello")
        assert b"connection: close" in sent.head


def test_a_head_that_was_not_sent_is_not_sent_before_the_next_answer() -> None:
    sent = Sent()
    sent.writer.head(200, b"x: old\r\n")
    sent.writer.abandon()
    sent.writer.part(b"", last=True)
    assert b"old" not in b"".join(sent.parts)
    assert not sent.writer.keep_alive
