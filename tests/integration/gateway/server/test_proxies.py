"""Two users behind one proxy, whose requests share a connection to the gateway: nobody gets what is not theirs."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cluster.skips import or_skip
from cluster.tools import packages
from integration.gateway.server import proxies
from integration.gateway.server.messages import TEMPTING
from support.gateways import CHAT, Running
from support.scripted_worker import Connection

REQUESTS = int(os.environ.get("FASTCHAT_PROXIED_REQUESTS", "3400"))
"""Through each of the three."""
LARGEST_BODY = 400_000
USERS = {"alice": "a", "bob": "b"}
"""Whose key it is, and the only model that it is for."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    closes: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


@dataclass(frozen=True)
class Asked:
    """A request, and whether an answer is the one to it."""

    data: bytes
    fits: Callable[[Answer], bool]
    method: str = "POST"


@dataclass
class User:
    """Asks one thing after the other, now and then two at once, and looks at each answer."""

    name: str
    port: int
    random: random.Random
    answered: int = 0
    _number: int = 0
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        asked = [self._any() for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        writer.write(b"".join(each.data for each in asked))
        for each in asked:
            try:
                async with asyncio.timeout(20):
                    answer = await read_answer(reader, each.method)
            except Closed:
                self.close()  # a proxy may, between two answers; what was sent on it may be lost then
                return
            assert each.fits(answer), (self.name, each.data[:300], answer)
            self.answered += 1
            if answer.closes:  # what was sent after it is lost, as it may be
                self.close()
                return

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    def _any(self) -> Asked:
        kinds = (self._chat, self._stream, self._chunks, self._models, self._others, self._broken, self._head)
        rare = (self._large, self._offers, self._expects, self._nothing, self._too_large)
        if self.random.random() < 0.9:
            return self.random.choice(kinds)()
        return self.random.choices(rare, (3, 3, 3, 3, 1))[0]()

    def _post(self, body: bytes, *lines: str, path: str = CHAT) -> bytes:
        return self._head_of("POST", path, *lines, f"content-length: {len(body)}") + body

    def _head_of(self, method: str, path: str, *lines: str) -> bytes:
        own = [f"{method} {path} HTTP/1.1", "host: x", f"authorization: Bearer {self.name}"]
        return "\r\n".join([*own, *lines, "", ""]).encode()

    def _body(self, *, padding: int = 0, **fields: Any) -> tuple[str, bytes]:
        self._number += 1
        mark = f"{self.name}-{self._number}"
        text = "".join(self.random.choices([each.decode("latin-1") for each in TEMPTING], k=4)) * (1 + padding)
        return mark, json.dumps({"model": USERS[self.name], "mark": mark, "x": text, **fields}).encode()

    def _chat(self, *lines: str, padding: int = 0) -> Asked:
        mark, body = self._body(padding=padding)
        return Asked(self._post(body, *lines), lambda answer: answer.json == {"mark": mark})

    def _large(self) -> Asked:
        return self._chat(padding=1000)

    def _offers(self) -> Asked:
        return self._chat("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAB")

    def _expects(self) -> Asked:
        return self._chat("expect: 100-continue")

    def _chunks(self) -> Asked:
        mark, body = self._body()
        sizes = self.random.choice(([len(body)], [1, 5, len(body) - 6]))
        framed, at = b"", 0
        for size in sizes:
            framed += b"%x\r\n%b\r\n" % (size, body[at : at + size])
            at += size
        head = self._head_of("POST", CHAT, "transfer-encoding: chunked")
        return Asked(head + framed + b"0\r\n\r\n", lambda answer: answer.json == {"mark": mark})

    def _stream(self) -> Asked:
        mark, body = self._body(stream=True)
        return Asked(self._post(body), lambda answer: answer.body == f"data: {mark}\n\n".encode() * 3)

    def _others(self) -> Asked:
        """A model that the key is not for; the refusal says whose it is."""
        (other,) = set(USERS.values()) - {USERS[self.name]}
        _, body = self._body(model=other)
        own = f"The API key '{self.name}'"
        return Asked(self._post(body), lambda answer: answer.json["error"]["message"].startswith(own))

    def _models(self) -> Asked:
        own = [USERS[self.name]]
        return Asked(
            self._head_of("GET", "/v1/models"),
            lambda answer: [card["id"] for card in answer.json["data"]] == own,
            "GET",
        )

    def _head(self) -> Asked:
        return Asked(
            self._head_of("HEAD", "/v1/models"), lambda answer: (answer.status, answer.body) == (200, b""), "HEAD"
        )

    def _broken(self) -> Asked:
        """What is no JSON, and would be two requests to a careless reader."""
        body = b'{"model":"m"}' + b"".join(self.random.choices(TEMPTING, k=6)) + b"}"
        return Asked(self._post(body), lambda answer: answer.code == "invalid_json")

    def _nothing(self) -> Asked:
        _, body = self._body()
        return Asked(self._post(body, path="/nothing"), lambda answer: answer.code == "not_found")

    def _too_large(self) -> Asked:
        return Asked(self._post(b" " * (LARGEST_BODY + 1)), lambda answer: answer.code == "request_too_large")


class Closed(Exception):  # noqa: N818  # no error
    """The connection ended between two answers."""


async def read_answer(reader: asyncio.StreamReader, method: str) -> Answer:
    while True:
        first, *lines = (await _read_head(reader)).decode("latin-1").strip().split("\r\n")
        if " 100 " not in first:
            break
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if method == "HEAD":
        body = b""
    elif named.get("transfer-encoding") == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(named["content-length"]))
    return Answer(int(first.split(" ")[1]), body, named.get("connection") == "close")


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError) as error:
        if getattr(error, "partial", b""):
            raise
        raise Closed from None


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        assert await reader.readline() == b"\r\n"
    assert await reader.readline() == b"\r\n"
    return body


async def echoes(connection: Connection) -> None:
    mark = connection.request.json["mark"]
    if not connection.request.json.get("stream"):
        connection.answer(200, {"mark": mark})
        return
    connection.start_stream()
    for _ in range(3):
        await connection.chunk(f"data: {mark}\n\n".encode())
    connection.writer.write(b"0\r\n\r\n")


@dataclass
class Seen:
    """The connections to a gateway, as far as they were looked at."""

    gateway: Running
    connections: set[Any] = field(default_factory=set)

    def look(self) -> None:
        self.connections |= self.gateway.server.gateway.connections.copy()


@pytest.fixture
async def shared(start_gateway, start_worker, tmp_path: Path) -> Running:
    """A gateway with two users' keys, and a worker that answers with what tells a request from every other."""
    for name, model in USERS.items():
        record = {"sha256": hashlib.sha256(name.encode()).hexdigest(), "models": [model]}
        (tmp_path / name).write_text(json.dumps(record))
    worker = await start_worker(behaviour=echoes, cards=[{"id": model} for model in USERS.values()])
    return await start_gateway(worker, keys_dir=tmp_path, max_body_bytes=LARGEST_BODY)


@pytest.mark.parametrize("name", ["nginx", "haproxy", "envoy"])
async def test_two_users_who_share_a_proxys_connection_get_what_is_theirs(shared: Running, name: str) -> None:
    with or_skip():
        packages.require(packages.PROXIES)
    seen = Seen(shared)
    with proxies.before(name, int(shared.url.rpartition(":")[2])) as port:
        users = [User(each, port, random.Random(f"{name} {each}")) for each in USERS]
        with contextlib.ExitStack() as stack:
            for user in users:
                stack.callback(user.close)
            # nginx has no queue: it would open a second connection for what comes meanwhile.
            at_once = asyncio.Semaphore(1 if name == "nginx" else 2)
            await asyncio.gather(*[_ask_on(user, seen, at_once) for user in users])
    assert len(seen.connections) < REQUESTS / 20  # most answers came on one that the other user had had before


async def _ask_on(user: User, seen: Seen, at_once: asyncio.Semaphore) -> None:
    while user.answered < REQUESTS / len(USERS):
        async with at_once:
            await user.ask()
        seen.look()
