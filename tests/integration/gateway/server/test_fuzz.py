"""Random requests, cut anywhere: as many answers as messages, in their order, and no byte of one in another."""

import asyncio
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterable, Sequence

from integration.gateway.server.messages import LARGEST_BODY, Generator, Read, Reading, read_by_h11
from support.scripted_worker import Connection

from fastchat_gateway.server.parser import RequestParser

CASES = int(os.environ.get("FASTCHAT_FUZZ_CASES", "3000"))
SEED = int(os.environ.get("FASTCHAT_FUZZ_SEED", "11"))

STRICTER = {
    "The gateway knows no method": "h11 takes any token for a method",
    "first line is not one of HTTP/1.1": "h11 takes other versions, small letters in methods, and LF for CR LF",
    "not a line of the form 'name: value'": "h11 takes folded headers, LF for CR LF, and control characters in values",
    "one 'authorization' header": "h11 does not know that it names a user",
    "one 'content-length' header": "h11 takes the same length twice",
    "one valid 'Host' header": "h11 takes any value",
    "'Content-Length' header is not a number": "h11 takes a list of one number: 5, 5",
    "'Content-Length' or 'Transfer-Encoding', not both": "h11 takes the chunks",
    "chunked in HTTP/1.1, and not encoded otherwise": "h11 takes chunks in HTTP/1.0",
    "target is neither a path nor an http URL": "h11 takes any printable characters",
    "chunks are not those of HTTP/1.1": "h11 takes blanks after a chunk's size, and LF for CR LF",
    "comes too late, after the body": "h11 only checks it (RFC 9110, 6.5.1)",
    "body is larger than": "h11 has no limit",
}
"""Why the gateway may refuse what h11 takes. Never the other way round."""


_SAID = re.compile(rb"(mark [0-9.]+)|key '(ours|theirs)' is not for|(invalid_json|not_found)")
"""What tells an answer from every other."""


class Room:
    max_body_bytes = LARGEST_BODY
    taken = 0

    def take_memory(self, size: int) -> bool:
        self.taken += size
        return True

    def give_memory(self, size: int) -> None:
        self.taken -= size


def read_by_us(pieces: Iterable[bytes]) -> Reading:
    reading, room = Reading(), Room()
    parser = RequestParser(room)
    for piece in pieces:
        parser.feed(piece)
        while request := parser.take():
            head = request.head
            reading.requests.append(Read(head.method.encode(), head.url, request.body, head.bearer))
            room.give_memory(len(request.body))
    if parser.refusal:
        reading.refused = parser.refusal.error.message
    parser.close()
    assert room.taken == 0
    return reading


def test_valid_messages_are_read_as_they_were_meant_and_as_h11_reads_them() -> None:
    generator = Generator(SEED)
    for _ in range(CASES // 3):
        messages, meant = generator.connection()
        data = b"".join(messages)
        assert read_by_h11(data) == Reading(meant), data
        for pieces in (messages, [data], *generator.cut(data)):
            assert read_by_us(pieces) == Reading(meant), pieces


def test_spoilt_messages_are_read_as_h11_reads_them_or_refused() -> None:
    generator = Generator(SEED + 1)
    refused = 0
    for _ in range(CASES - CASES // 3):
        data = generator.spoilt(b"".join(generator.connection()[0]))
        ours, theirs = read_by_us([data]), read_by_h11(data)
        for pieces in generator.cut(data):
            assert read_by_us(pieces) == ours, pieces
        assert ours.requests == theirs.requests[: len(ours.requests)], data
        if theirs.refused or len(theirs.requests) > len(ours.requests):
            assert ours.refused, (data, theirs)
        elif ours.refused:
            assert any(reason in ours.refused for reason in STRICTER), (data, ours.refused)
        refused += bool(ours.refused)
    assert CASES / 5 < refused < CASES  # neither all nor nothing


async def test_over_sockets_each_message_gets_its_own_answer_in_its_turn(start_gateway, start_worker, tmp_path) -> None:
    for key, models in (("ours", ["m"]), ("theirs", ["n"])):
        record = {"sha256": hashlib.sha256(key.encode()).hexdigest(), "models": models}
        (tmp_path / key).write_text(json.dumps(record))
    worker = await start_worker(behaviour=_echoes, cards=[{"id": "m"}, {"id": "n"}])
    gateway = await start_gateway(worker, keys_dir=tmp_path)
    generator = Generator(SEED + 2)
    for number in range(CASES // 40):
        messages, expected = generator.exchanges(f"mark {number}")
        for pieces in (messages, [b"".join(messages)], *generator.cut(b"".join(messages))):
            assert await _ask(gateway.url, pieces) == expected, pieces


async def _echoes(connection: Connection) -> None:
    connection.answer(200, {"mark": connection.request.json["mark"]})


async def _ask(url: str, pieces: Sequence[bytes]) -> list[bytes]:
    """What is said to bytes that arrive in these pieces, until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        answers = await reader.read()
    writer.close()
    return [next(filter(None, found)) for found in _SAID.findall(answers)]
