"""Compressed bodies: a worker gets them plain, and nobody can have more expanded than a plain body may be long."""

import asyncio
import gzip
import json
import random
import resource
import time
import zlib
from collections.abc import Callable

import httpx
import pytest
import zstandard

from fastchat.keys.record import digest

CHAT = "/v1/chat/completions"
MiB = 2**20
SMALL = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-Gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstandard.compress),
    "two parts": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "two frames": ("zstd", lambda data: zstandard.compress(data[:9]) + zstandard.compress(data[9:])),
    "identity": ("identity", bytes),
}


def large() -> bytes:
    """Of 300 KB, of which no coding makes less than 64 KiB."""
    text = random.Random(1).randbytes(150_000).hex()
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()


async def post(gateway, body: bytes, coding: str, path: str = CHAT) -> httpx.Response:
    return await gateway.client.post(path, content=body, headers={"content-encoding": coding})


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(("coding", "pack"), CODINGS.values(), ids=CODINGS)
@pytest.mark.parametrize("body", [json.dumps(SMALL).encode(), large()], ids=["small", "large"])
async def test_the_worker_gets_the_plain_body(gateway, worker, coding, pack, body) -> None:
    for _ in range(2):  # the second time the connection knows the head
        assert (await post(gateway, pack(body), coding)).status_code == 200
    assert [request.body for request in worker.requests] == [body] * 2
    assert worker.requests[0].headers["content-length"] == str(len(body))
    assert "content-encoding" not in worker.requests[0].headers


async def test_one_connection_may_send_packed_and_plain_in_turn(gateway, worker) -> None:
    plain = json.dumps(SMALL).encode()
    for coding, pack in (CODINGS["gzip"], CODINGS["identity"], CODINGS["zstd"], CODINGS["identity"]):
        assert (await post(gateway, pack(plain), coding)).status_code == 200
    assert [request.body for request in worker.requests] == [plain] * 4


async def test_token_check_takes_them_too(gateway, worker) -> None:
    result = {"fits": True, "tokenCount": 1, "contextLength": 64}
    worker.behaviour = worker.says(200, {"prompts": [result]})
    body = gzip.compress(json.dumps({"prompts": [{"model": "m", "prompt": "x"}]}).encode())
    assert (await post(gateway, body, "gzip", "/api/v1/token_check")).json() == {"prompts": [result]}


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip", "aes128gcm", "\xe9"])
async def test_a_coding_that_is_not_served_is_415_with_those_that_are(gateway, worker, coding) -> None:
    answer = await gateway.client.post(CHAT, content=b"x", headers={b"content-encoding": coding.encode("latin-1")})
    assert told(answer) == (415, "unsupported_encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate, zstd"
    assert not worker.requests


@pytest.mark.parametrize(("coding", "pack"), [CODINGS[name] for name in ("gzip", "deflate", "zstd")])
@pytest.mark.parametrize("body", [json.dumps(SMALL).encode(), large()], ids=["small", "large"])
async def test_a_body_that_is_not_what_it_says_is_400(gateway, worker, coding, pack, body) -> None:
    packed = pack(body)
    for wrong in (body, packed[:-1], packed[: len(packed) // 2], packed + b"more", b""):
        assert told(await post(gateway, wrong, coding)) == (400, "invalid_encoding")
    assert not worker.requests


@pytest.mark.parametrize(("coding", "pack"), [CODINGS[name] for name in ("gzip", "deflate", "zstd")])
async def test_a_bomb_is_413_and_never_expanded_whole(start_gateway, worker, coding, pack) -> None:
    """256 MiB of zeros in a few KiB (gzip: 250); no more than 8 MiB of them is made for each request."""
    gateway = await start_gateway(worker, max_body_bytes=8 * MiB)
    bomb = await asyncio.to_thread(pack, bytes(256 * MiB))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    answers = await asyncio.gather(*[post(gateway, bomb, coding) for _ in range(4)])
    assert {told(answer) for answer in answers} == {(413, "request_too_large")}
    assert time.monotonic() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    assert not worker.requests
    assert (await gateway.chat()).status_code == 200


async def test_the_limit_is_that_of_plain_bodies(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, max_body_bytes=1000)
    fits = json.dumps({"model": "m"}).encode().ljust(1000)
    assert len(fits) == 1000
    assert (await post(gateway, gzip.compress(fits), "gzip")).status_code == 200
    assert told(await post(gateway, gzip.compress(fits + b" "), "gzip")) == (413, "request_too_large")


async def test_parts_without_number_are_refused(gateway) -> None:
    for coding, pack in (CODINGS["gzip"], CODINGS["zstd"]):
        assert told(await post(gateway, pack(b"") * 9999, coding)) == (400, "invalid_encoding")


async def test_nothing_is_expanded_for_who_has_no_key(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, key_digests=frozenset({digest(b"key")}))
    answer = await post(gateway, b"not gzip at all", "gzip")
    assert told(answer) == (401, "invalid_api_key")


async def test_memory_is_given_back(start_gateway, worker) -> None:
    """A gateway with room for three bodies expands a hundred, one after the other, whatever becomes of them."""
    gateway = await start_gateway(worker, max_body_bytes=MiB, max_buffered_bytes=3 * MiB)
    good, bomb = gzip.compress(large()), gzip.compress(bytes(4 * MiB))
    for _ in range(30):
        assert (await post(gateway, good, "gzip")).status_code == 200
        assert (await post(gateway, bomb, "gzip")).status_code == 413
        assert (await post(gateway, good[:-1], "gzip")).status_code == 400
    assert gateway.server.gateway.take_memory(3 * MiB)
