"""What a connection's bytes say: requests, a refusal, or that more must come. No sockets."""

from itertools import pairwise

import pytest

from fastchat.keys.record import digest
from fastchat_gateway.server.parser import LARGEST_HEAD, Request, RequestParser

POST = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n"
OFFER = b"\r\nupgrade: h2c"


class Room:
    """For so many bytes."""

    def __init__(self, size: int = 10**9, max_body_bytes: int = 10**6) -> None:
        self.size = self.left = size
        self.max_body_bytes = max_body_bytes

    def take_memory(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True

    def give_memory(self, size: int) -> None:
        self.left += size
        assert self.left <= self.size


def post(body: bytes = b"hello", *headers: bytes, key: bytes = b"") -> bytes:
    own = [b"authorization: Bearer " + key] if key else []
    return POST + b"".join(line + b"\r\n" for line in [*own, *headers, b"content-length: %d" % len(body), b""]) + body


def chunked(*chunks: bytes, headers: bytes = b"") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return POST + headers + b"transfer-encoding: chunked\r\n\r\n" + framed


def taken(parser: RequestParser, *pieces: bytes) -> list[Request]:
    """All whole requests that the pieces bring."""
    requests = []
    for piece in pieces:
        parser.feed(piece)
        while request := parser.take():
            requests.append(request)
    return requests


def bodies(*pieces: bytes, parser: RequestParser | None = None) -> list[bytes]:
    return [request.body for request in taken(parser or RequestParser(Room()), *pieces)]


def status(parser: RequestParser) -> int | None:
    return parser.refusal and parser.refusal.status


def cuts(data: bytes) -> list[list[bytes]]:
    """In two pieces, at every byte; and byte by byte."""
    return [*([data[:at], data[at:]] for at in range(1, len(data))), [bytes([byte]) for byte in data]]


# --------------------------------------------------------------------------------------------------------------------
# Bytes are never edited
# --------------------------------------------------------------------------------------------------------------------

TEMPTING = [
    OFFER + b"\r\n",
    b"\r\nUpgrade:\th2c \r\n" * 3,
    b"\r\n\r\n",
    b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n",
    b"0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: x\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"\r\ncontent-length: 0\r\n\r\n",
    b"\n\n\r\r\n\0",
]


@pytest.mark.parametrize("inside", TEMPTING)
def test_what_stands_in_a_body_is_the_body(inside: bytes) -> None:
    for message in (post(inside), chunked(inside), chunked(b"x", inside)[:-2] + b"x: y\r\n\r\n"):
        for pieces in cuts(message + post(b"next")):
            first, second = bodies(*pieces)
            assert first.removeprefix(b"x") == inside
            assert second == b"next"


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"h2c, websocket", b"TLS/1.0", b""])
def test_an_offer_of_another_protocol_is_ignored_and_the_body_read(protocol: bytes) -> None:
    offer = b"connection: upgrade, http2-settings\r\nhttp2-settings: x\r\nupgrade: " + protocol
    for message in (post(b"hello", offer), chunked(b"hello", headers=offer + b"\r\n")):
        for pieces in cuts(message + post(b"next")):
            assert bodies(*pieces) == [b"hello", b"next"]
    get = b"GET /health HTTP/1.1\r\nhost: x\r\n" + offer + b"\r\n\r\n"
    assert bodies(get + get) == [b"", b""]


def test_there_is_no_tunnel() -> None:
    parser = RequestParser(Room())
    assert taken(parser, b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n" + post()) == []
    assert status(parser) == 501


# --------------------------------------------------------------------------------------------------------------------
# Whose request it is
# --------------------------------------------------------------------------------------------------------------------


def keys(*pieces: bytes) -> list[bytes | None]:
    return [request.head.bearer for request in taken(RequestParser(Room()), *pieces)]


def test_pipelined_requests_with_different_keys_keep_their_keys() -> None:
    ours, theirs = post(key=b"ours"), post(key=b"theirs")
    expected = [digest(b"ours"), digest(b"theirs"), digest(b"ours"), digest(b"theirs")]
    assert keys(ours + theirs, ours, theirs) == expected
    assert keys(ours, theirs + ours, theirs) == expected
    assert keys(ours + theirs[:9], theirs[9:] + ours, theirs) == expected
    assert keys(ours + theirs + ours + theirs) == expected


def test_a_head_is_remembered_only_of_a_read_that_was_that_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    message, another = post(), post(key=b"k")
    for pieces in (
        [message[:-1], message[-1:]],
        [message[:9], message[9:]],
        [message + another],
        [message + b"\r\n"],
        [b"\r\n" + message],
        [another + message[:9], message[9:]],
    ):
        parser = RequestParser(Room())
        taken(parser, *pieces)
        assert not parser._recognises(message)
        assert not parser._recognises(another)
    parser = RequestParser(Room())
    taken(parser, another + message, message)
    assert parser._recognises(message)
    assert not parser._recognises(another)


def test_nothing_is_recognised_in_the_middle_of_a_message() -> None:
    message = post(b"hello")
    inside = POST + b"content-length: %d\r\n\r\n" % len(message)
    assert bodies(message, inside, message, message) == [b"hello", message, b"hello"]
    assert bodies(message, b"\r\n", message) == [b"hello", b"hello"]


def test_a_key_that_is_given_twice_is_refused() -> None:
    parser = RequestParser(Room())
    assert taken(parser, post(b"", b"authorization: Bearer other", key=b"k")) == []
    assert status(parser) == 400


# --------------------------------------------------------------------------------------------------------------------
# What was not read whole ends the connection
# --------------------------------------------------------------------------------------------------------------------

REFUSED = {
    "a body that is too large": (413, post(b"x" * 11)),
    "chunks that are too large": (413, chunked(b"x" * 10, b"x")),
    "a chunk that will be too large": (413, POST + b"transfer-encoding: chunked\r\n\r\nffffffffffff\r\n"),
    "a head that is too large": (431, POST + b"x: " + b"x" * LARGEST_HEAD + b"\r\n\r\n"),
    "a head of too many lines": (431, POST + b"x:\r\n" * LARGEST_HEAD),
    "trailers that are too large": (431, chunked(b"x")[:-2] + b"x: y\r\n" * LARGEST_HEAD),
    "chunks that are mostly framing": (431, POST + b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * 2 * LARGEST_HEAD),
    "empty lines without end": (431, b"\r\n" * LARGEST_HEAD),
    "a first line that is none": (400, b"\x16\x03\x01\n"),
    "another protocol without a line end": (400, b"\x16\x03\x01"),
    "a line that ends in LF": (400, POST.replace(b"\r\n", b"\n")),
    "a folded header": (400, POST + b"x: a\r\n b\r\n\r\n"),
    "two lengths": (400, post(b"x", b"content-length: 1")),
    "a length and chunks": (400, chunked(b"x", headers=b"content-length: 1\r\n")),
    "a chunk that is longer than it says": (400, POST + b"transfer-encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n"),
    "a length after the body": (400, chunked(b"x")[:-2] + b"content-length: 1\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "a target that is no path": (400, b"GET ://:x HTTP/1.1\r\nhost: x\r\n\r\n"),
    "a method that nobody knows": (501, b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n"),
}


@pytest.mark.parametrize(("expected", "data"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_comes_after_what_was_whole_and_nothing_after_it(expected: int, data: bytes) -> None:
    for rest in (b"", post(b"next")):
        room = Room(max_body_bytes=10)
        parser = RequestParser(room)
        assert bodies(post(b"first") + data + rest, post(b"last"), parser=parser) == [b"first"]
        assert status(parser) == expected
        parser.close()
        assert room.left == room.size - len(b"first")


def test_a_body_that_is_too_large_is_refused_before_it_comes() -> None:
    parser = RequestParser(Room(max_body_bytes=10))
    assert taken(parser, POST + b"content-length: 11\r\nexpect: 100-continue\r\n\r\n") == []
    assert status(parser) == 413
    assert not parser.wants_continue
    assert parser.head.path == "/v1/completions"


def test_nothing_is_read_after_a_request_that_closes_the_connection() -> None:
    assert bodies(post(b"last", b"Connection: x, Close") + post(), post()) == [b"last"]
    assert bodies(post(b"last", b"connection: close", b"connection: x") + post(), post()) == [b"last"]
    assert bodies(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" + post(), post()) == [b""]


# --------------------------------------------------------------------------------------------------------------------
# 100 Continue
# --------------------------------------------------------------------------------------------------------------------

ASKS = POST + b"content-length: 5\r\nexpect: 100-Continue\r\n\r\n"


def test_a_client_that_waits_before_its_body_is_told_in_its_turn() -> None:
    parser = RequestParser(Room())
    parser.feed(post(b"first") + ASKS)
    assert not parser.wants_continue  # the first is to be answered yet
    assert (first := parser.take())
    assert first.body == b"first"
    assert parser.wants_continue
    assert bodies(b"hello", parser=parser) == [b"hello"]
    assert not parser.wants_continue


def test_a_client_that_does_not_wait_is_told_nothing() -> None:
    parser = RequestParser(Room())
    parser.feed(ASKS + b"h")
    assert not parser.wants_continue
    for head in (ASKS.replace(b"1.1", b"1.0"), ASKS.replace(b"h: 5", b"h: 0"), ASKS.replace(b"100-C", b"200-C")):
        parser = RequestParser(Room())
        parser.feed(head)
        assert not parser.wants_continue


# --------------------------------------------------------------------------------------------------------------------
# What is kept is bounded
# --------------------------------------------------------------------------------------------------------------------


def test_only_one_request_is_read_ahead() -> None:
    room = Room()
    parser = RequestParser(room)
    fed = 0
    while not parser.is_full:
        parser.feed(post(b"x" * 100))
        fed += 1
    assert LARGEST_HEAD < room.size - room.left < 2 * LARGEST_HEAD
    count = 0
    while parser.take():
        count += 1
    assert count == fed
    assert room.size - room.left == 100 * count


def test_unfinished_heads_and_requests_ahead_take_room_and_give_it_back() -> None:
    for data in (POST, POST + b"x: ", post()[:-1], post() + POST, post() + post() * 3, chunked(b"xx")[:-3]):
        room = Room()
        parser = RequestParser(room)
        parser.feed(data)
        assert room.size - room.left >= len(data) - len(post()) * 2
        parser.close()
        assert room.left == room.size


def test_where_there_is_no_room_the_request_is_refused_and_what_was_whole_is_not() -> None:
    for data in (POST + b"x: " + b"x" * 99, post(b"x" * 99), post() * 4, chunked(b"x" * 99)):
        room = Room(95)
        parser = RequestParser(room)
        for before, after in pairwise(range(0, len(data) + 10, 10)):
            parser.feed(data[before:after])
        assert status(parser) == 503
        assert (parser.take() is not None) == data.startswith(post())


@pytest.mark.parametrize("message", [post(b"x" * 20_000), chunked(*[b"x"] * 20_000)])
def test_a_body_in_tiny_pieces_costs_no_more_than_its_bytes(message: bytes) -> None:
    parser = RequestParser(Room())
    for byte in message[:-1]:
        parser.feed(bytes([byte]))
    assert parser._body.__sizeof__() < 40_000
    assert bodies(message[-1:], parser=parser) == [b"x" * 20_000]


def test_empty_lines_between_requests_are_no_head() -> None:
    parser = RequestParser(Room())
    assert bodies(post() + b"\r\n", parser=parser) == [b"hello"]
    assert parser.head_since is None
    parser.feed(b"P", 7.0)
    parser.feed(b"OST", 8.0)
    assert parser.head_since == 7.0
    assert bodies(post()[4:], parser=parser) == [b"hello"]
    assert parser.head_since is None
