"""What a gateway pod can do to the operator that listens to it: nothing but be heard."""

import asyncio
import gzip
import itertools
from contextlib import asynccontextmanager

import pytest
from support.eventually import eventually_async

from fastchat.demand import Demand
from fastchat_operator.scale import listener
from fastchat_operator.scale.listener import Listeners

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SECONDS = 2.0


def line(held: int) -> bytes:
    return b'{"models":{"m":{"held":%d,"endpoints":[]}}}\n' % held


class Gateway:
    """A server that says what it likes; `said` are the heads of the requests."""

    def __init__(self, *parts) -> None:
        self._parts = parts
        self.said: list[bytes] = []

    async def __call__(self, reader, writer) -> None:
        try:
            self.said.append(await reader.readuntil(b"\r\n\r\n"))
            for parts in self._parts:
                for part in [parts] if isinstance(parts, bytes) else parts():
                    writer.write(part)
                    await writer.drain()
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def listening(monkeypatch):
    """Listens to a gateway; what it hears is what `heard()` says, and `news` counts how often that changed."""

    @asynccontextmanager
    async def listen(gateway):
        server = await asyncio.start_server(gateway, "127.0.0.1", 0)
        monkeypatch.setattr(listener, "PORT", server.sockets[0].getsockname()[1])
        news = []
        async with server, Listeners(lambda _: "secret", news.append) as listeners:
            listeners.follow([POD])
            yield lambda: listeners.demands([POD], "m")["gateway"], news

    return listen


RUNNING = {"name": "gateway", "started": True, "state": {"running": {}}}
POD = {
    "metadata": {"namespace": "team", "name": "gateway", "uid": "1"},
    "status": {"podIP": "127.0.0.1", "containerStatuses": [RUNNING]},
}


async def test_it_is_heard_at_once_and_until_it_ends(listening):
    async with listening(Gateway(HEAD, b"\r\n", line(1), line(2))) as (heard, _):
        await eventually_async(lambda: heard() == Demand(2))


def endless_line():
    return itertools.repeat(bytes(64 * 1024))


async def test_one_whose_lines_are_too_long_is_left_alone_for_ever_longer(listening, caplog):
    gateway = Gateway(HEAD, b"\r\n", line(1), endless_line)
    async with listening(gateway) as (heard, news):
        await asyncio.sleep(SECONDS)
    assert len(gateway.said) <= 5
    assert heard() is None
    assert len(news) <= 2 * len(gateway.said)
    assert "a line is longer than 256 KiB" in caplog.text


async def test_one_that_never_stops_talking_is_heard_twenty_times_a_second(listening):
    gateway = Gateway(HEAD, b"\r\n", lambda: map(line, range(10**6)))
    async with listening(gateway) as (_, news):
        await asyncio.sleep(SECONDS)
    assert 2 < len(news) <= 20 * SECONDS + 2
    assert len(gateway.said) == 1


async def test_nothing_is_asked_for_or_taken_compressed(listening):
    bomb = gzip.compress(line(1) + bytes(10 * 2**20))
    gateway = Gateway(HEAD, b"content-encoding: gzip\r\n\r\n", bomb)
    async with listening(gateway) as (heard, news):
        await asyncio.sleep(SECONDS / 2)
        assert heard() is None
    assert not news
    assert b"accept-encoding: identity\r\n" in gateway.said[0].lower()
    assert len(gateway.said) <= 4


async def test_nobody_else_is_asked_on_its_word(listening):
    other = Gateway(HEAD, b"\r\n", line(7))
    async with await asyncio.start_server(other, "127.0.0.1", 0) as server:
        place = f"location: http://127.0.0.1:{server.sockets[0].getsockname()[1]}/\r\n\r\n".encode()
        async with listening(Gateway(b"HTTP/1.1 307 Temporary Redirect\r\n", place)) as (heard, _):
            await asyncio.sleep(SECONDS / 2)
            assert heard() is None
    assert other.said == []


async def test_one_that_never_ends_its_line_is_not_known_any_more(listening, monkeypatch):
    monkeypatch.setattr(listener, "_SILENCE_SECONDS", 0.5)

    async def drip(reader, writer):
        writer.write(HEAD + b"\r\n" + line(3))
        while not reader.at_eof():
            writer.write(b" ")
            await asyncio.sleep(0.1)

    async with listening(drip) as (heard, news):
        await eventually_async(lambda: heard() == Demand(3))
        await eventually_async(lambda: len(news) >= 2)
