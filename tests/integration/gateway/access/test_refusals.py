"""What is refused, and in which shape."""

import asyncio

import httpx
import pytest

from fastchat.keys.record import digest
from fastchat_gateway.proxy import shapes

CHAT = "/v1/chat/completions"


def error_of(answer: httpx.Response) -> dict[str, str | None]:
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


async def test_an_unknown_model_is_404_and_no_other_is_named(gateway) -> None:
    answer = await gateway.chat(model="other")
    error = error_of(answer)
    assert answer.status_code == 404
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "'m'" not in error["message"]


async def test_an_unknown_model_makes_no_new_series(gateway) -> None:
    for name in ("x", "y"):
        await gateway.chat(model=name)
    assert await gateway.metric("requests_total", model="", route=CHAT, status="404") == 2
    assert "model_not_found" not in (await gateway.client.get("/metrics")).text


@pytest.mark.parametrize(
    ("body", "param"), [(b"{", None), (b"[]", None), (b"{}", "model"), (b'{"model":1}', "model"), (b"\xff", None)]
)
async def test_a_wrong_body_is_400(gateway, worker, body, param) -> None:
    answer = await gateway.client.post(CHAT, content=body)
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)
    assert worker.requests == []


async def test_a_route_that_is_not_there_is_404(gateway) -> None:
    answer = await gateway.client.post("/v1/nothing")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", CHAT, "POST"), ("PUT", CHAT, "POST"), ("OPTIONS", CHAT, "POST"), ("POST", "/v1/models", "GET")],
)
async def test_a_wrong_method_is_405_and_the_right_one_is_named(gateway, method, path, allow) -> None:
    answer = await gateway.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert error_of(answer)["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/v1/models", "/ready"])
async def test_head_is_get_without_a_body(gateway, path) -> None:
    answer = await gateway.client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


async def test_a_fault_of_our_own_is_a_500_in_the_same_shape(gateway, caplog, monkeypatch) -> None:
    monkeypatch.setattr(shapes, "request", None)
    answer = await gateway.chat()
    assert (answer.status_code, error_of(answer)["type"]) == (500, "server_error")
    assert "has no attribute 'decode'" in caplog.text


async def test_a_fault_of_a_page_is_a_500_in_the_same_shape(gateway, monkeypatch) -> None:
    from fastchat_gateway.routing.catalog import Catalog

    monkeypatch.setattr(Catalog, "names", None)
    answer = await gateway.client.get("/v1/models")
    assert (answer.status_code, error_of(answer)["type"]) == (500, "server_error")


async def chunked(size: int):
    for _ in range(size // 100_000):
        yield b" " * 100_000


@pytest.mark.parametrize("kind", ["with a length", "in chunks"])
async def test_ten_megabytes_are_413_and_the_connection_stays_usable(gateway, kind) -> None:
    content = b" " * 10_000_000 if kind == "with a length" else chunked(10_000_000)
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=gateway.url, limits=limits, verify=False, trust_env=False) as client:
        answer = await client.post(CHAT, content=content)
        assert (answer.status_code, error_of(answer)["code"]) == (413, "request_too_large")
        assert (await client.post(CHAT, json={"model": "m"})).status_code == 200


async def test_a_body_just_within_the_limit_passes(start_gateway, worker) -> None:
    body = b'{"model": "m"}'
    gateway = await start_gateway(worker, max_body_bytes=len(body))
    assert (await gateway.client.post(CHAT, content=body)).status_code == 200
    assert (await gateway.client.post(CHAT, content=body + b" ")).status_code == 413


async def test_a_body_that_is_too_large_is_not_asked_for(gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 10000000\r\n\r\n" % CHAT.encode()
    writer.write(head)
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


PATHS = [
    ("POST", CHAT),
    ("POST", "/v1/embeddings"),
    ("POST", "/api/v1/token_check"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/m"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_with_keys_every_route_wants_one(start_gateway, worker, method, path) -> None:
    gateway = await start_gateway(worker, key_digests=(digest(b"key"),))
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = await gateway.client.request(method, path, json={"model": "m"}, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert error_of(answer)["code"] == "invalid_api_key"
    assert worker.requests == []


async def test_with_keys_the_right_one_opens_and_probes_need_none(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, key_digests=(digest(b"key"),))
    answer = await gateway.client.post(CHAT, json={"model": "m"}, headers={"authorization": "Bearer key"})
    assert answer.status_code == 200
    for probe in ("/health", "/ready"):
        assert (await gateway.client.get(probe)).json() == {"status": "ok"}
