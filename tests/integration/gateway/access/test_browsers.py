"""What web pages may do: of other origins nothing unless they are named, and nothing under a name that is not ours."""

import httpx
import pytest

from fastchat.keys.record import digest

CHAT = "/v1/chat/completions"
PAGE = "https://chat.example.com"
FROM_PAGE = {"origin": PAGE}
PREFLIGHT = {
    **FROM_PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}
READABLE = "access-control-allow-origin"


async def test_by_default_no_page_of_another_origin_may_read_anything(gateway) -> None:
    assert READABLE not in (await gateway.client.post(CHAT, json={"model": "m"}, headers=FROM_PAGE)).headers
    preflight = await gateway.client.options(CHAT, headers=PREFLIGHT)
    assert preflight.status_code >= 400
    assert READABLE not in preflight.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("POST", CHAT, 200, {"model": "m"}),
        ("POST", CHAT, 404, {"model": "other"}),
        ("POST", CHAT, 400, {"model": 1}),
        ("POST", CHAT, 413, {"model": "m" * 2000}),
        ("GET", "/v1/models", 200, None),
        ("GET", "/nothing", 404, None),
        ("GET", "/v1/chat/completions", 405, None),
        ("GET", "/health", 200, None),
    ],
)
async def test_a_page_of_an_allowed_origin_may_read_every_answer(
    start_gateway, worker, method, path, status, body
) -> None:
    gateway = await start_gateway(worker, allowed_origins=("https://a.example", PAGE), max_body_bytes=1000)
    answer = await gateway.client.request(method, path, json=body, headers=FROM_PAGE)
    assert (answer.status_code, answer.headers[READABLE], answer.headers["vary"]) == (status, PAGE, "origin")
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    other = await gateway.client.request(method, path, json=body, headers={"origin": "https://evil.example"})
    assert (READABLE in other.headers, other.headers["vary"]) == (False, "origin")


async def test_a_page_may_read_streams_and_refusals_of_its_key(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, allowed_origins=("*",), key_digests=(digest(b"key"),))
    worker.behaviour = worker.streams("data: [DONE]\n\n")
    for headers, status in (({}, 401), ({"authorization": "Bearer key"}, 200)):
        answer = await gateway.client.post(CHAT, json={"model": "m", "stream": True}, headers=FROM_PAGE | headers)
        assert (answer.status_code, answer.headers[READABLE]) == (status, "*")
        assert "vary" not in answer.headers


async def test_a_held_stream_may_be_read_too(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, allowed_origins=(PAGE,), comment_seconds=0.05)
    worker.ready_status = 503
    await gateway.reaches(0, "endpoints_ready", model="m")
    async with gateway.client.stream("POST", CHAT, json={"model": "m", "stream": True}, headers=FROM_PAGE) as answer:
        assert answer.headers[READABLE] == PAGE


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/api/v1/token_check"])
async def test_a_browser_asks_beforehand_without_a_key(start_gateway, worker, path) -> None:
    gateway = await start_gateway(worker, allowed_origins=(PAGE,), key_digests=(digest(b"key"),))
    answer = await gateway.client.options(path, headers=PREFLIGHT)
    assert (answer.status_code, answer.content, answer.headers[READABLE]) == (200, b"", PAGE)
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_of_another_origin_is_told_beforehand_that_it_may_not(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, allowed_origins=(PAGE,))
    answer = await gateway.client.options(CHAT, headers=PREFLIGHT | {"origin": "https://chat.example.com.evil"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert READABLE not in answer.headers


async def test_methods_headers_and_credentials_are_allowed_as_told(start_gateway, worker) -> None:
    gateway = await start_gateway(
        worker,
        allowed_origins=("*",),
        allowed_methods=("POST",),
        allowed_headers=("authorization", "content-type"),
        allow_credentials=True,
    )
    answer = await gateway.client.options(CHAT, headers=PREFLIGHT)
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert (answer.headers[READABLE], answer.headers["vary"]) == (PAGE, "origin")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "localhost.:80"])
async def test_a_host_that_is_ours_is_answered(start_gateway, worker, host) -> None:
    gateway = await start_gateway(worker, allowed_hosts=("localhost", "127.0.0.1", "[::1]"))
    assert (await gateway.client.post(CHAT, json={"model": "m"}, headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::2]", ""])
async def test_a_name_that_was_made_to_mean_this_machine_is_refused(start_gateway, worker, host) -> None:
    gateway = await start_gateway(worker, allowed_hosts=("localhost", "127.0.0.1", "[::1]"))
    for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/docs")):
        answer = await gateway.client.request(method, path, json={"model": "m"}, headers={"host": host})
        assert (answer.status_code, answer.json()["error"]["code"]) == (421, "host_not_allowed")
    assert worker.requests == []
    assert (await gateway.client.get("/health", headers={"host": host})).status_code == 200


async def test_without_allowed_hosts_every_name_is_ours(gateway) -> None:
    answer = await gateway.client.get("/v1/models", headers={"host": "gateway.example.com"})
    assert answer.status_code == 200
    assert httpx.URL(gateway.url).host == "127.0.0.1"
