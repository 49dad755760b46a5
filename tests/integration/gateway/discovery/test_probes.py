"""The gateway's own looks at workers: what an odd one answers there costs nobody anything."""

import asyncio
import gzip
import json

import pytest

from fastchat_gateway.discovery.probe import Probe

CARDS = json.dumps({"data": [{"id": "secret"}]}).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.fixture
async def serve():
    """Starts a server that says the same bytes to every request, and goes on with others for ever; returns its URL."""
    servers = []

    async def start(data: bytes, endless: bytes = b""):
        asked: list[bytes] = []

        async def answer(reader, writer) -> None:
            try:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(data)
                while endless:
                    writer.write(endless)
                    await writer.drain()
                await writer.drain()
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked

    yield start
    for server in servers:
        server.close()


def of_length(body: bytes, *lines: bytes) -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def listing(**fields: object) -> bytes:
    return of_length(json.dumps({"data": [{"id": "m", **fields}]}).encode())


@pytest.mark.parametrize(
    "answer",
    [
        of_length(gzip.compress(CARDS), b"content-encoding: gzip"),
        of_length(b'{"data": [%b{"id": "m"}]}' % (b" " * 2**20)),
        of_length(json.dumps({"data": [{"id": str(number)} for number in range(1001)]}).encode()),
        listing(id="m" * 600),
        listing(id=""),
        listing(created=10**400),
        listing(max_model_len=-1),
        of_length(b'{"data": [{"id": "\\ud800"}]}'),
        of_length(b'{"data": [{"id": "\xff"}]}'),
        of_length(b"[" * 2**19),
        HEAD.replace(b"200", b"2000") + b"\r\n" + CARDS,
    ],
)
async def test_a_list_of_models_that_is_odd_says_nothing(serve, answer) -> None:
    url, _ = await serve(answer)
    async with Probe(5.0) as probe:
        assert await probe.cards(url) is None


@pytest.mark.parametrize("path", ["head", "body"])
async def test_an_answer_without_end_is_given_up(serve, path) -> None:
    start, more = (HEAD + b"\r\n", b" " * 2**16) if path == "body" else (HEAD, b"x-a: a\r\n" * 1000)
    url, _ = await serve(start, endless=more)
    async with Probe(600.0) as probe, asyncio.timeout(60):
        assert await probe.cards(url) is None
        assert await probe.ready(url) == (path == "body")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_the_token_goes_to_the_worker_only(serve, status) -> None:
    other, asked_other = await serve(of_length(CARDS))
    redirect = HEAD.replace(b"200", b"%d" % status) + b"location: %b/v1/models\r\n" % other.encode()
    url, asked = await serve(redirect + b"content-length: 0\r\n\r\n")
    async with Probe(5.0, b"token") as probe:
        assert await probe.cards(url) is None
        assert not await probe.ready(url)
        assert await probe.sign(url) == "alive"
    assert all(b"Bearer token" in each for each in asked)
    assert asked_other == []
