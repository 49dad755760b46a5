"""What passes through, and how."""

import asyncio
import json

import httpx
import pytest
from support.eventually import eventually_async as eventually

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("path", "at_the_worker"),
    [
        (CHAT, CHAT),
        ("/v1/completions", "/v1/completions"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("/v1/create_embeddings", "/v1/embeddings"),
        ("/v1/engines/org/x/embeddings", "/v1/embeddings"),
        ("/v1/rerank", "/v1/rerank"),
        ("/rerank", "/v1/rerank"),
        ("/v2/rerank", "/v1/rerank"),
        ("/v1/score", "/v1/score"),
        ("/score", "/v1/score"),
        ("/tokenize", "/tokenize"),
        ("/detokenize", "/detokenize"),
        ("/api/v1/chat/completions", CHAT),
        (CHAT + "/", CHAT),
        ("/v1/embeddings//?x=1", "/v1/embeddings"),
    ],
)
async def test_each_route_reaches_the_worker(gateway, worker, path, at_the_worker) -> None:
    answer = await gateway.chat(path)
    assert answer.status_code == 200
    assert answer.json() == {"answer": "hello"}
    assert worker.requests[0].path == at_the_worker


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models/m/", "/health/", "/docs/", "/openapi.json/"])
async def test_a_slash_at_the_end_does_no_harm(gateway, path) -> None:
    assert (await gateway.client.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("sent", "reaches"),
    [
        (b'{"input":"x"}', b'{"model":"m","input":"x"}'),
        (b' { "input" : "x", "y": 1.10 } ', b'{"model":"m", "input" : "x", "y": 1.10 } '),
        (b'{"input":"x","model":"m"}', b'{"input":"x","model":"m"}'),
        (b"{}", b'{"model":"m"}'),
    ],
)
async def test_the_path_of_an_engine_names_the_model_where_the_body_does_not(gateway, worker, sent, reaches) -> None:
    assert (await gateway.client.post("/v1/engines/m/embeddings", content=sent)).status_code == 200
    assert worker.requests[0].body == reaches
    assert await gateway.metric("requests_total", model="m", route="/v1/engines/{model:path}/embeddings") == 1


@pytest.mark.parametrize("sent", [b"", b"[]", b'{"input":', b'{"model":5}', b'{"input":"x","input":"y"}'])
async def test_what_is_wrong_with_a_body_is_told_on_the_path_of_an_engine_too(gateway, worker, sent) -> None:
    assert (await gateway.client.post("/v1/engines/m/embeddings", content=sent)).status_code == 400
    assert not worker.requests


async def test_an_engine_that_there_is_not_is_404(gateway) -> None:
    answer = await gateway.client.post("/v1/engines/other/embeddings", json={"input": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    unnamed = await gateway.client.post("/v1/engines//embeddings", json={"input": "x"})
    assert (unnamed.status_code, unnamed.json()["error"]["param"]) == (400, "model")


async def test_the_body_passes_byte_for_byte(gateway, worker) -> None:
    body = b'{ "messages" : [ ], "model":"m", "x": 1.10, "y": "\xc3\xbc" }'
    await gateway.client.post(CHAT, content=body)
    assert worker.requests[0].body == body


async def test_an_alias_reaches_the_worker_under_the_models_own_name(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, aliases={"gpt": "m"})
    await gateway.chat(model="gpt", messages=[1.5, "gpt"])
    assert worker.requests[0].json == {"model": "m", "messages": [1.5, "gpt"]}


async def test_a_stream_passes_byte_for_byte_as_it_comes(gateway, worker) -> None:
    go_on = asyncio.Event()
    worker.behaviour = worker.streams(
        "data: one\n\n", then=worker.waits_for(go_on, lambda c: finish(c, b"data: two\r\n\r\ndata: [DONE]\n\n"))
    )
    async with gateway.client.stream("POST", CHAT, json={"model": "m", "stream": True}) as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"data: one\n\n"
        go_on.set()
        assert b"".join([part async for part in parts]) == b"data: two\r\n\r\ndata: [DONE]\n\n"


async def test_half_an_event_waits_for_its_other_half(gateway, worker) -> None:
    go_on = asyncio.Event()
    rest = worker.waits_for(go_on, lambda c: finish(c, b"o\n\ndata: rest"))
    worker.behaviour = worker.streams("data: one\n\n", "data: tw", then=rest)
    async with gateway.client.stream("POST", CHAT, json={"model": "m", "stream": True}) as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"data: one\n\n"
        second = asyncio.ensure_future(anext(parts))
        assert await asyncio.wait([second], timeout=0.2) == (set(), {second})
        go_on.set()
        assert await second + b"".join([part async for part in parts]) == b"data: two\n\ndata: rest"


async def finish(connection, data: bytes) -> None:
    await connection.chunk(data)
    connection.writer.write(b"0\r\n\r\n")


async def test_the_workers_refusal_passes_unchanged(gateway, worker) -> None:
    worker.behaviour = worker.says(400, {"error": {"message": "n is too large", "param": "n"}})
    answer = await gateway.chat()
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")


async def test_a_large_answer_passes_whole(gateway, worker) -> None:
    body = json.dumps("x" * 3_000_000).encode()
    worker.behaviour = worker.says(200, body)
    assert (await gateway.chat()).content == body


async def test_a_slow_reader_gets_everything_and_stops_the_worker_meanwhile(gateway, worker) -> None:
    sent = 0

    async def flood(connection) -> None:
        nonlocal sent
        connection.start_stream()
        for _ in range(1000):
            await connection.chunk(b"data: " + b"x" * 100_000 + b"\n\n")
            sent += 1
        connection.writer.write(b"0\r\n\r\n")

    worker.behaviour = flood
    async with gateway.client.stream("POST", CHAT, json={"model": "m", "stream": True}) as answer:
        await asyncio.sleep(0.5)
        assert sent < 800  # the kernel's buffers hold up to 70 MB of it
        size = sum([len(part) async for part in answer.aiter_raw()])
    assert size == 1000 * 100_008


async def test_a_request_in_slow_pieces_is_read_whole(gateway, worker) -> None:
    async def pieces():
        for piece in (b'{"mod', b'el": ', b'"m"}'):
            yield piece
            await asyncio.sleep(0.05)

    answer = await gateway.client.post(CHAT, content=pieces())
    assert answer.status_code == 200
    assert worker.requests[0].body == b'{"model": "m"}'


async def test_the_content_type_does_not_matter(gateway, worker) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await gateway.client.post(CHAT, content=b'{"model": "m"}', headers=headers)
    assert answer.status_code == 200
    assert worker.requests[0].headers["content-type"] == "application/json"


async def test_credentials_and_hop_by_hop_headers_stay_at_the_gateway(gateway, worker) -> None:
    sent = {"authorization": "Bearer secret", "cookie": "a=b", "te": "trailers", "user-agent": "test/1"}
    await gateway.client.post(CHAT, json={"model": "m"}, headers=sent)
    got = worker.requests[0].headers
    own = {"host", "content-type", "content-length", "x-request-id", "accept", "x-fastchat-resumable"}
    assert set(got) == {*own, "user-agent"}
    assert got["user-agent"] == "test/1"


async def test_of_the_workers_head_only_what_is_meant_for_the_client_passes(gateway, worker) -> None:
    worker.behaviour = worker.says(
        429, {}, retry_after="7", x_fastchat_load="3", set_cookie="a=b", server="x", x_request_id="w", x_queue="3"
    )
    answer = await gateway.chat()
    passed = {"content-type", "retry-after", "x-fastchat-load"}
    assert set(answer.headers) == {"date", "content-length", "x-request-id", *passed}
    assert answer.headers.get_list("x-request-id") != ["w"]
    assert len(answer.headers.get_list("x-request-id")) == 1


async def test_one_clients_cookies_are_not_sent_for_another(start_gateway, worker) -> None:
    worker.host = "localhost"  # aiohttp keeps no cookies of addresses
    gateway = await start_gateway(worker)
    worker.behaviour = worker.says(200, {}, set_cookie="a=b")
    await gateway.chat()
    await gateway.chat()
    assert "cookie" not in worker.requests[1].headers


async def test_the_clients_request_id_is_used_all_the_way(gateway, worker) -> None:
    answer = await gateway.client.post(CHAT, json={"model": "m"}, headers={"x-request-id": "abc-1._Z"})
    assert answer.headers["x-request-id"] == "abc-1._Z"
    assert worker.requests[0].headers["x-request-id"] == "abc-1._Z"


@pytest.mark.parametrize("bad", ["a b", "x" * 129, "", 'a"b'])
async def test_a_request_id_that_is_not_sane_is_replaced(gateway, bad) -> None:
    given = (await gateway.client.post(CHAT, json={"model": "m"}, headers={"x-request-id": bad})).headers[
        "x-request-id"
    ]
    assert len(given) == 32
    assert given != bad


async def test_requests_go_to_the_worker_with_the_fewest_outstanding(start_gateway, start_worker) -> None:
    workers = [await start_worker(), await start_worker()]
    gateway = await start_gateway(*workers)
    done = asyncio.Event()
    for each in workers:
        each.behaviour = each.waits_for(done, each.says())
    tasks = []
    for number in range(8):
        tasks.append(asyncio.create_task(gateway.chat()))
        await eventually(lambda number=number: sum(len(each.requests) for each in workers) > number)
    assert [len(each.requests) for each in workers] == [4, 4]
    assert await gateway.metric("requests_in_flight", model="m") == 8
    done.set()
    await asyncio.gather(*tasks)
    assert await gateway.metric("requests_in_flight", model="m") == 0


async def test_a_client_that_waits_for_100_continue_gets_it(gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\nexpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'{"model":"m"}')
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_client_of_http_1_0_is_told_nothing_before_its_body(gateway) -> None:
    """RFC 9110, 10.1.1: a server ignores what such a client expects, for it knows no interim response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
    writer.write(b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: 13\r\nexpect: 100-continue\r\n\r\n")
    writer.write(b'{"model":"m"}')
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_an_offer_to_speak_http2_does_not_cost_the_body(gateway, worker) -> None:
    headers = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAEAAEAAAAIAAAAB"}
    answer = await gateway.client.post(CHAT, json={"model": "m"}, headers=headers)
    assert answer.status_code == 200
    assert worker.requests[0].json == {"model": "m"}


async def test_requests_sent_ahead_are_answered_in_turn(gateway, worker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
    writer.write(b'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\n\r\n{"model":"m"}' * 2)
    for _ in range(2):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(19) == b'{"answer": "hello"}'
    writer.close()


async def test_a_connection_that_the_worker_closed_while_it_was_idle_costs_nothing(gateway, worker) -> None:
    assert (await gateway.chat()).status_code == 200
    await asyncio.sleep(1.3)

    async def closes_once(connection) -> None:
        worker.behaviour = worker.says()
        await worker.closes(connection)

    worker.behaviour = closes_once
    assert (await gateway.chat()).status_code == 200
    assert await gateway.metric("retries_total", model="m") == 0


async def test_a_refusal_of_a_stream_passes_whole_also_where_it_is_chunked(gateway, worker) -> None:
    async def refuses(connection) -> None:
        connection.writer.write(
            b'HTTP/1.1 400 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n6\r\n{"a": \r\n'
        )
        await asyncio.sleep(0.05)
        connection.writer.write(b"2\r\n1}\r\n0\r\n\r\n")

    worker.behaviour = refuses
    for _ in range(2):
        answer = await gateway.chat(stream=True)
        assert (answer.status_code, answer.json()) == (400, {"a": 1})


async def test_what_a_worker_says_after_its_answer_reaches_nobody(gateway, worker) -> None:
    async def says_too_much(connection) -> None:
        connection.start_stream()
        connection.writer.write(b"6\r\ndata\n\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    worker.behaviour = says_too_much
    answer = await gateway.chat(stream=True)
    assert "evil" not in answer.text


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks(gateway, worker) -> None:
    worker.behaviour = worker.streams("data: one\n\n", "data: [DONE]\n\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
    body = b'{"model":"m","stream":true}'
    writer.write(b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert rest == b"data: one\n\ndata: [DONE]\n\n"
    writer.close()
