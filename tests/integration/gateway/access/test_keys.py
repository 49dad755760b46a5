"""API keys with limits, in a folder that changes while the gateway serves."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.eventually import eventually_async as eventually

from fastchat.keys.record import KeyRecord, digest
from fastchat.keys.store import Folder, create

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100}
MODELS = [{"id": "m", "task": "Generate"}, {"id": "n", "task": "Generate"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def add(folder: Path, key: str, **limits: Any) -> None:
    """A key as `fastchat keys create` keeps it, named after itself."""
    record = KeyRecord(sha256=digest(key.encode()).hex(), **limits)
    create(Folder(folder), key, record, replace=True)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def ask(gateway, key: str, **fields: Any) -> httpx.Response:
    return await gateway.client.post(CHAT, json={"model": "m", **fields}, headers=bearer(key))


async def until(gateway, key: str, status: int) -> None:
    """The folder is looked at once a second."""

    async def there():
        return (await gateway.client.get("/v1/models", headers=bearer(key))).status_code == status

    await eventually(there)


def code_of(answer: httpx.Response) -> str:
    return answer.json()["error"]["code"]


async def test_a_key_that_appears_closes_the_gateway_and_opens_it_to_its_owner(start_gateway, worker, folder) -> None:
    gateway = await start_gateway(worker, keys_dir=folder)
    assert (await ask(gateway, "anything")).status_code == 200
    add(folder, "alice")
    await until(gateway, "anything", 401)
    assert (await ask(gateway, "alice")).status_code == 200


async def test_a_key_that_disappears_is_refused(start_gateway, worker, folder) -> None:
    add(folder, "alice")
    add(folder, "bob")
    gateway = await start_gateway(worker, keys_dir=folder)
    assert (await ask(gateway, "alice")).status_code == 200
    (folder / "alice").unlink()
    await until(gateway, "alice", 401)
    assert (await ask(gateway, "bob")).status_code == 200


async def test_a_request_in_progress_outlives_its_key(start_gateway, worker, folder) -> None:
    add(folder, "alice", max_concurrent=1)
    add(folder, "bob")
    over = asyncio.Event()
    worker.behaviour = worker.waits_for(over, worker.says())
    gateway = await start_gateway(worker, keys_dir=folder)
    first = asyncio.create_task(ask(gateway, "alice"))
    await worker.arrived.wait()
    (folder / "alice").unlink()
    await until(gateway, "alice", 401)
    over.set()
    assert (await first).status_code == 200


async def test_a_broken_file_locks_out_and_opens_nothing(start_gateway, worker, folder) -> None:
    (folder / "alice").write_text("{")
    gateway = await start_gateway(worker, keys_dir=folder)
    for headers in ({}, bearer("alice")):
        assert (await gateway.client.get("/v1/models", headers=headers)).status_code == 401


async def test_where_keys_are_required_nobody_is_served_without_one(start_gateway, worker, folder) -> None:
    gateway = await start_gateway(worker, keys_dir=folder, require_api_keys=True)
    assert (await ask(gateway, "alice")).status_code == 401
    assert (await gateway.client.get("/health")).status_code == 200
    add(folder, "alice")
    await until(gateway, "alice", 200)


async def test_an_expired_key_is_refused_in_its_own_words(start_gateway, worker, folder) -> None:
    add(folder, "alice", expires="2020-01-01T00:00:00Z")
    gateway = await start_gateway(worker, keys_dir=folder)
    answer = await ask(gateway, "alice")
    assert (answer.status_code, code_of(answer)) == (401, "expired_api_key")


async def test_a_key_is_for_its_models_only(start_gateway, start_worker, folder) -> None:
    add(folder, "alice", models=["m"])
    worker = await start_worker(cards=MODELS)
    gateway = await start_gateway(worker, keys_dir=folder, aliases={"gpt": "m"})
    for name in ("m", "gpt"):
        assert (await ask(gateway, "alice", model=name)).status_code == 200
    for name in ("n", "no such model"):
        answer = await ask(gateway, "alice", model=name)
        assert (answer.status_code, code_of(answer)) == (403, "model_not_allowed")
    assert len(worker.requests) == 2


async def test_a_key_sees_its_models_only(start_gateway, start_worker, folder) -> None:
    add(folder, "alice", models=["m"])
    add(folder, "bob")
    gateway = await start_gateway(await start_worker(cards=MODELS), keys_dir=folder, aliases={"gpt": "m"})

    async def seen(key: str) -> list[str]:
        listing = await gateway.client.get("/v1/models", headers=bearer(key))
        return [card["id"] for card in listing.json()["data"]]

    assert await seen("alice") == ["gpt", "m"]
    assert await seen("bob") == ["gpt", "m", "n"]
    assert (await gateway.client.get("/v1/models/n", headers=bearer("alice"))).status_code == 404
    assert (await gateway.client.get("/v1/models/n", headers=bearer("bob"))).status_code == 200


async def test_requests_over_the_limit_are_429_and_reach_no_worker(start_gateway, worker, folder) -> None:
    add(folder, "alice", requests_per_minute=2)
    gateway = await start_gateway(worker, keys_dir=folder)
    answers = [await ask(gateway, "alice") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"2"}
    assert code_of(answers[2]) == "rate_limit_exceeded"
    assert 25 <= int(answers[2].headers["retry-after"]) <= 30
    assert len(worker.requests) == 2


async def test_a_stream_shows_the_limits_too(start_gateway, worker, folder) -> None:
    add(folder, "alice", requests_per_minute=5)
    worker.behaviour = worker.streams("data: {}\n\n", "data: [DONE]\n\n")
    gateway = await start_gateway(worker, keys_dir=folder)
    assert (await ask(gateway, "alice", stream=True)).headers["x-ratelimit-remaining-requests"] == "4"


async def test_a_key_without_limits_shows_none(start_gateway, worker, folder) -> None:
    add(folder, "alice")
    gateway = await start_gateway(worker, keys_dir=folder)
    assert not [name for name in (await ask(gateway, "alice")).headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_are_taken_from_the_answers_usage(start_gateway, worker, folder, stream) -> None:
    add(folder, "alice", tokens_per_minute=90)
    if stream:
        last = json.dumps({"choices": [], "usage": USAGE})
        worker.behaviour = worker.streams("data: {}\n\n", f"data: {last}\n\n", "data: [DONE]\n\n")
    else:
        worker.behaviour = worker.says(200, {"choices": [], "usage": USAGE})
    gateway = await start_gateway(worker, keys_dir=folder)
    assert (await ask(gateway, "alice", stream=stream)).status_code == 200
    answer = await ask(gateway, "alice", stream=stream)
    assert (answer.status_code, answer.headers["x-ratelimit-remaining-tokens"]) == (429, "0")
    assert 5 <= int(answer.headers["retry-after"]) <= 8
    assert len(worker.requests) == 1


async def test_requests_at_the_same_time_are_limited_until_one_ends(start_gateway, worker, folder) -> None:
    add(folder, "alice", max_concurrent=1)
    add(folder, "bob")
    over = asyncio.Event()
    worker.behaviour = worker.waits_for(over, worker.says())
    gateway = await start_gateway(worker, keys_dir=folder)
    first = asyncio.create_task(ask(gateway, "alice"))
    await worker.arrived.wait()
    answer = await ask(gateway, "alice")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    over.set()
    assert (await first).status_code == 200
    assert (await ask(gateway, "alice")).status_code == 200
    assert (await ask(gateway, "bob")).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_makes_room_for_the_next(start_gateway, worker, folder, stream) -> None:
    add(folder, "alice", max_concurrent=1)
    worker.behaviour = worker.hangs
    gateway = await start_gateway(worker, keys_dir=folder)
    first = asyncio.create_task(ask(gateway, "alice", stream=stream))
    await worker.arrived.wait()
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    await worker.left.wait()
    worker.behaviour = worker.says()

    async def has_room():
        return (await ask(gateway, "alice")).status_code == 200

    await eventually(has_room)


async def test_a_refused_request_is_not_one_in_progress(start_gateway, worker, folder) -> None:
    add(folder, "alice", max_concurrent=1)
    gateway = await start_gateway(worker, keys_dir=folder)
    for body in (b"{", b'{"model": "unknown"}', b'{"model": 1}') * 2:
        assert (await gateway.client.post(CHAT, content=body, headers=bearer("alice"))).status_code in (400, 404)
    assert (await ask(gateway, "alice")).status_code == 200


async def test_what_a_key_has_used_survives_another_keys_change(start_gateway, worker, folder) -> None:
    add(folder, "alice", requests_per_minute=1)
    gateway = await start_gateway(worker, keys_dir=folder)
    assert (await ask(gateway, "alice")).status_code == 200
    add(folder, "bob")
    await until(gateway, "bob", 200)
    assert (await ask(gateway, "alice")).status_code == 429


async def test_no_key_reaches_a_worker(start_gateway, worker, folder) -> None:
    add(folder, "alice")
    gateway = await start_gateway(worker, keys_dir=folder)
    await ask(gateway, "alice")
    assert "alice" not in str(worker.requests[0])


async def test_the_name_of_the_key_goes_to_workers_who_know_the_internal_token(start_gateway, worker, folder) -> None:
    add(folder, "alice")
    gateway = await start_gateway(worker, keys_dir=folder, internal_token=b"token")
    headers = {**bearer("alice"), "x-fastchat-key": "bob"}
    await gateway.client.post(CHAT, json={"model": "m"}, headers=headers)
    assert worker.requests[0].headers["x-fastchat-key"] == "alice"
    assert worker.requests[0].headers["authorization"] == "Bearer token"


async def test_a_client_cannot_say_whose_its_request_is(gateway, worker) -> None:
    await gateway.client.post(CHAT, json={"model": "m"}, headers={"x-fastchat-key": "bob"})
    assert "x-fastchat-key" not in worker.requests[0].headers


async def test_a_batch_counts_for_its_sequences_against_what_a_key_may_have_at_once(
    start_gateway, worker, folder
) -> None:
    add(folder, "alice", max_concurrent=4)
    gateway = await start_gateway(worker, keys_dir=folder)
    over = asyncio.Event()
    worker.behaviour = worker.waits_for(over, worker.says())
    first = asyncio.create_task(ask(gateway, "alice", n=3))
    await worker.arrived.wait()
    assert (await ask(gateway, "alice", n=2)).status_code == 429
    second = asyncio.create_task(ask(gateway, "alice"))
    over.set()
    assert (await first).status_code == (await second).status_code == 200
    answer = await ask(gateway, "alice", n=5)
    assert (answer.status_code, code_of(answer)) == (400, "too_many_sequences")


MANY_TEXTS = {
    "inputs": ("/v1/embeddings", {"input": ["a"] * 2000}),
    "inputs of an engine": ("/v1/engines/m/embeddings", {"input": ["a"] * 2000}),
    "documents": ("/v1/rerank", {"query": "q", "documents": ["a", {"text": "b"}] * 1000}),
    "pairs": ("/v1/score", {"text_1": "a", "text_2": ["b"] * 2000}),
    "queries and documents": ("/score", {"queries": "a", "documents": ["b"] * 2000}),
}


@pytest.mark.parametrize(("path", "texts"), MANY_TEXTS.values(), ids=MANY_TEXTS)
async def test_many_texts_take_all_of_a_keys_places_and_are_served(start_gateway, worker, folder, path, texts) -> None:
    add(folder, "alice", max_concurrent=4)
    gateway = await start_gateway(worker, keys_dir=folder)
    over = asyncio.Event()
    worker.behaviour = worker.waits_for(over, worker.says())
    body = {"model": "m", **texts}
    first = asyncio.create_task(gateway.client.post(path, json=body, headers=bearer("alice")))
    await worker.arrived.wait()
    assert (await ask(gateway, "alice")).status_code == 429
    over.set()
    assert (await first).status_code == 200
    assert (await ask(gateway, "alice")).status_code == 200
