"""Anthropic's Messages API and OpenAI's Responses API: what the gateway itself says, and whose a request is."""

import asyncio
from typing import Any

import httpx
import pytest
from support.scripted_worker import Connection

from fastchat.keys.record import KeyRecord, digest
from fastchat.keys.store import Folder, create

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"


def error_of(answer: httpx.Response) -> dict[str, str]:
    document = answer.json()
    assert (document["type"], set(document)) == ("error", {"type", "error", "request_id"})
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["error"]["message"]
    return document["error"]


@pytest.fixture
async def keyed(start_gateway, worker, tmp_path):
    """A gateway with the keys alice, who may have one sequence in progress, and bob."""
    for key, limits in {"alice": {"max_concurrent": 1}, "bob": {"models": ["other"]}}.items():
        create(Folder(tmp_path), key, KeyRecord(sha256=digest(key.encode()).hex(), **limits), replace=True)
    return await start_gateway(worker, keys_dir=tmp_path)


@pytest.mark.parametrize(
    ("key", "body", "status", "kind"),
    [
        ("", {"model": "m"}, 401, "authentication_error"),
        ("nobody", {"model": "m"}, 401, "authentication_error"),
        ("bob", {"model": "m"}, 403, "permission_error"),
        ("alice", {"model": "n"}, 404, "not_found_error"),
        ("alice", {}, 400, "invalid_request_error"),
    ],
)
async def test_what_the_gateway_refuses_of_messages_has_anthropics_shape(keyed, key, body, status, kind) -> None:
    answer = await keyed.client.post(MESSAGES, json=body, headers={"x-api-key": key})
    assert (answer.status_code, error_of(answer)["type"]) == (status, kind)


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("path", [MESSAGES, "/v1/messages/batches"])
async def test_pages_refuse_in_it_too(gateway, method, path) -> None:
    answer = await gateway.client.request(method, path)
    assert answer.status_code in (404, 405)
    assert error_of(answer)["type"] in ("not_found_error", "invalid_request_error")


async def test_a_body_that_is_too_large_is_refused_in_it(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, max_body_bytes=1000)
    answer = await gateway.client.post(MESSAGES, content=b"x" * 1001)
    assert (answer.status_code, error_of(answer)["type"]) == (413, "request_too_large")


async def test_no_worker_is_overloaded(start_gateway, start_worker) -> None:
    worker = await start_worker(ready_status=503)
    gateway = await start_gateway(worker)
    answer = await gateway.client.post(MESSAGES, json={"model": "unheard-of"})
    assert answer.status_code in (404, 503)
    assert error_of(answer)["type"] in ("not_found_error", "overloaded_error")


@pytest.mark.parametrize("how", [{"x-api-key": "alice"}, {"authorization": "Bearer alice"}])
@pytest.mark.parametrize("path", [MESSAGES, "/v1/chat/completions", "/v1/embeddings"])
async def test_a_key_counts_by_either_header(keyed, path, how) -> None:
    assert (await keyed.client.post(path, json={"model": "m"}, headers=how)).is_success
    assert (await keyed.client.get("/v1/models", headers=how)).is_success


async def test_of_two_keys_the_bearers_counts(keyed) -> None:
    both = {"authorization": "Bearer alice", "x-api-key": "nobody"}
    assert (await keyed.client.post(MESSAGES, json={"model": "m"}, headers=both)).is_success
    both = {"authorization": "Bearer nobody", "x-api-key": "alice"}
    assert (await keyed.client.post(MESSAGES, json={"model": "m"}, headers=both)).status_code == 401


async def test_two_api_keys_of_a_header_are_refused(keyed) -> None:
    twice = [("x-api-key", "alice"), ("x-api-key", "bob")]
    assert (await keyed.client.post(MESSAGES, json={"model": "m"}, headers=twice)).status_code == 400


async def test_the_worker_never_sees_the_key(keyed, worker) -> None:
    await keyed.client.post(MESSAGES, json={"model": "m"}, headers={"x-api-key": "alice"})
    assert "alice" not in str(worker.requests[0].headers)


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
async def test_a_request_of_many_items_counts_for_one_sequence(keyed, path) -> None:
    items = [{"role": "user", "content": "x"}] * 50
    body = {"model": "m", "input": items, "messages": items, "n": 3}
    assert (await keyed.client.post(path, json=body, headers={"x-api-key": "alice"})).is_success


async def test_anthropics_clients_find_the_request_id(gateway) -> None:
    answer = await gateway.client.post(MESSAGES, json={"model": "m"})
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_a_query_and_anthropics_headers_are_taken(gateway) -> None:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "a,b"}
    assert (await gateway.client.post(MESSAGES + "?beta=true", json={"model": "m"}, headers=headers)).is_success


def three_events(*, names: bool) -> list[str]:
    return [("event: x\n" if names else "") + f'data: {{"type": "x", "number": {number}}}\n\n' for number in range(3)]


async def lost(gateway: Any, worker: Any, path: str) -> list[str]:
    worker.behaviour = worker.streams(*three_events(names=True), then=worker.resets)
    answer = await gateway.client.post(path, json={"model": "m", "stream": True})
    return answer.text.split("\n\n")


async def test_a_stream_of_messages_whose_worker_is_lost_ends_with_anthropics_event(gateway, worker) -> None:
    *_, last, end = await lost(gateway, worker, MESSAGES)
    assert end == ""
    name, data = last.split("\n")
    assert name == "event: error"
    document = httpx.Response(200, text=data.removeprefix("data: ")).json()
    assert (document["type"], document["error"]["type"]) == ("error", "api_error")
    assert document["error"]["message"] == "The worker of 'm' was lost in the middle of its answer."


async def test_a_stream_of_responses_whose_worker_is_lost_ends_with_a_numbered_event(gateway, worker) -> None:
    *_, last, _ = await lost(gateway, worker, RESPONSES)
    name, data = last.split("\n")
    assert name == "event: error"
    document = httpx.Response(200, text=data.removeprefix("data: ")).json()
    assert document.pop("message")
    assert document == {"type": "error", "sequence_number": 3, "code": "worker_lost", "param": None}


async def test_a_held_stream_of_messages_that_a_worker_refuses_ends_with_anthropics_event(
    start_gateway, start_worker
) -> None:
    ready = asyncio.Event()

    async def refuses(connection: Connection) -> None:
        said = {"type": "error", "error": {"type": "invalid_request_error", "message": "no such block"}}
        connection.answer(400, said)

    worker = await start_worker(behaviour=refuses, ready_status=503)
    gateway = await start_gateway(worker, comment_seconds=0.1)
    async with gateway.client.stream("POST", MESSAGES, json={"model": "m", "stream": True}) as answer:
        assert answer.status_code == 200
        text = ""
        async for part in answer.aiter_text():
            text += part
            worker.ready_status = 200
            ready.set()
    assert text.startswith(": ")
    *_, last, _ = text.split("\n\n")
    assert last.startswith('event: error\ndata: {"type":"error","error":{"type":"invalid_request_error"')
    assert "no such block" in last


async def test_a_full_worker_is_not_the_last_word_where_another_is_free(start_gateway, start_worker) -> None:
    async def full(connection: Connection) -> None:
        said = {"type": "error", "error": {"type": "rate_limit_error", "message": "full", "code": "queue_full"}}
        connection.answer(429, said)

    gateway = await start_gateway(await start_worker(behaviour=full), await start_worker())
    for _ in range(4):
        assert (await gateway.client.post(MESSAGES, json={"model": "m"})).is_success
