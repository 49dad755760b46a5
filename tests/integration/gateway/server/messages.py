"""Requests as random bytes, and what h11 reads in them."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import h11

from fastchat.keys.record import digest

LARGEST_BODY = 1000

TEMPTING = (
    b"\r\nupgrade: h2c\r\n",
    b"\r\nUpgrade:\th2c",
    b"\r\n\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /hidden HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n",
    b"content-length: 3\r\n",
    b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n",
    b"HTTP/1.1",
    b": ",
    b" ",
    b"\t",
    b"\0",
    b"\x7f",
    b"\xff",
    b"chunked",
    b"0",
    b"9",
    b"f",
    b";x=y",
    b"-",
    b",",
)
"""What shifts a boundary where a reader is careless."""

METHODS = (b"POST", b"POST", b"POST", b"GET", b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"PATCH", b"TRACE")
TARGETS = (b"/v1/chat/completions", b"/v1/completions", b"/v1/models?x=y", b"/", b"/%20?#", b"http://x/v1/models")
OWN = {("ours", "m"), ("theirs", "n")}
KEYS = (b"ours", b"theirs", b"")
HEADERS = (
    b"accept: */*",
    b"X-Empty:",
    b"x-blank: \t a b \t",
    b"x-latin: \xe9",
    b"cookie: a=b; c=d",
    b"upgrade: h2c",
    b"Upgrade: websocket",
    b"connection: upgrade, http2-settings",
    b"Connection: keep-alive",
    b"http2-settings: AAEAAEAAAAIAAAAB",
    b"expect: 100-continue",
    b"te: trailers",
    b"x-length: content-length: 5",
)
TRAILERS = (b"", b"", b"x-trailer: y\r\n", b"x-length: content-length: 5\r\nx-empty:\r\n")
EXTENSIONS = (b"", b"", b"", b";x", b';x="y"')


@dataclass(frozen=True)
class Read:
    """A request as somebody has read it."""

    method: bytes
    target: bytes
    body: bytes
    key: bytes | None
    """SHA-256."""


@dataclass
class Reading:
    """What somebody makes of a connection's bytes."""

    requests: list[Read] = field(default_factory=list)
    refused: str = ""
    """Why what follows is none; empty where it may only be incomplete, or comes after `Connection: close`."""


def key_of(authorization: bytes) -> bytes | None:
    scheme, _, key = authorization.partition(b" ")
    return digest(key.strip()) if scheme.lower() == b"bearer" and key.strip() else None


class Generator:
    """Makes connections' bytes: those of valid requests with what was meant, or the same with a few bytes changed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def connection(self) -> tuple[list[bytes], list[Read]]:
        """Some valid messages, and what they say."""
        messages, meant = [], []
        for _ in range(self._random.choice((1, 2, 2, 3, 4))):
            message, read = self.message()
            messages.append(message)
            meant.append(read)
            if messages and self._random.random() < 0.3:  # the same head again, mostly recognised
                messages.append(message)
                meant.append(read)
        return messages, meant

    def message(self) -> tuple[bytes, Read]:
        choose = self._random.choice
        method, target, key, body = choose(METHODS), choose(TARGETS), choose(KEYS), self.body()
        lines = self._random.sample(HEADERS, choose((0, 0, 1, 2, 4)))
        lines += [b"Host: x", b"Authorization: Bearer " + key] if key else [b"host: x:80"]
        chunked = self._random.random() < 0.3
        if chunked:
            lines.append(choose((b"transfer-encoding: chunked", b"Transfer-Encoding:Chunked")))
        elif body or choose((True, False)):
            lines.append(choose((b"content-length: %d", b"Content-Length: %d", b"content-length:\t00%d ")) % len(body))
        if choose((True, False)):
            self._random.shuffle(lines)
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(line + b"\r\n" for line in lines))
        read = Read(method, target, body, digest(key) if key else None)
        return head + (self.chunks(body) if chunked else body), read

    def exchanges(self, mark: str) -> tuple[list[bytes], list[bytes]]:
        """Messages to a gateway where key `ours` is for model m and key `theirs` for n, and what is said to each."""
        messages, expected = [], []
        for number in range(self._random.choice((1, 2, 3, 5))):
            key, model = self._random.choice(("ours", "theirs")), self._random.choice(("m", "n"))
            fields = {"model": model, "mark": f"{mark}.{number}", "x": self.body().decode("latin-1")}
            body, said = json.dumps(fields).encode(), fields["mark"] if (key, model) in OWN else key
            if self._random.random() < 0.2:
                body, said = b"}" + self.body(), "invalid_json"
            messages.append(self._to_gateway(key, body))
            expected.append(said.encode())
        end = b"GET /end HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ours\r\nconnection: close\r\n\r\n"
        return [*messages, end], [*expected, b"not_found"]

    def _to_gateway(self, key: str, body: bytes) -> bytes:
        head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n".encode()
        offer = self._random.choice((b"", b"", b"connection: upgrade\r\nupgrade: h2c\r\n"))
        if self._random.random() < 0.3:
            return head + offer + b"transfer-encoding: chunked\r\n\r\n" + self.chunks(body)
        return head + offer + b"content-length: %d\r\n\r\n" % len(body) + body

    def body(self) -> bytes:
        if self._random.random() < 0.2:
            return b""
        pieces = [self._random.choice((*TEMPTING, b"hello", b"x" * 40)) for _ in range(self._random.randrange(1, 8))]
        return b"".join(pieces)[:LARGEST_BODY]

    def chunks(self, body: bytes) -> bytes:
        choose, framed = self._random.choice, b""
        while body:
            size = self._random.randint(1, len(body))
            length = choose((b"%x", b"%X", b"000%x")) % size
            framed += length + choose(EXTENSIONS) + b"\r\n" + body[:size] + b"\r\n"
            body = body[size:]
        return framed + choose((b"0", b"00")) + choose(EXTENSIONS) + b"\r\n" + choose(TRAILERS) + b"\r\n"

    def spoilt(self, data: bytes) -> bytes:
        """With a few bytes put in, taken out or replaced."""
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            at = self._random.randrange(len(data) + 1)
            if self._random.random() < 0.5:  # near the end of a line is where it matters
                at = max(0, data.find(b"\r\n", at) + self._random.randint(-2, 3))
            put = self._random.choice((b"", *TEMPTING))
            data = data[:at] + put + data[at + self._random.choice((0, 0, 1, 2, len(put))) :]
        return data

    def cut(self, data: bytes) -> Iterator[list[bytes]]:
        """In pieces: byte by byte, and at a few places."""
        yield [data[at : at + 1] for at in range(len(data))]
        places = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.choice((1, 2, 5))))
        yield [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]


def read_by_h11(data: bytes) -> Reading:
    """h11 is a strict reader, but knows nothing of the empty line that RFC 9112, 2.2, has a server ignore."""
    reading, connection = Reading(), h11.Connection(h11.SERVER, max_incomplete_event_size=2**16)
    connection.receive_data(data)
    while True:
        while connection.trailing_data[0].startswith(b"\r\n") and connection.their_state is h11.IDLE:
            rest = connection.trailing_data[0][2:]
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**16)
            connection.receive_data(rest)
        if connection.trailing_data[0] == b"\r" and connection.their_state is h11.IDLE:
            return reading
        try:
            read = _next_of_h11(connection)
        except h11.RemoteProtocolError as error:
            reading.refused = str(error)
            return reading
        if read is None:
            return reading
        reading.requests.append(read)
        connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        connection.send(h11.EndOfMessage())
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return reading  # it ends here
        connection.start_next_cycle()


def _next_of_h11(connection: h11.Connection) -> Read | None:
    request, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            named: Sequence[tuple[bytes, bytes]] = list(request.headers)
            return Read(
                bytes(request.method), bytes(request.target), body, key_of(dict(named).get(b"authorization", b""))
            )
        else:
            return None
