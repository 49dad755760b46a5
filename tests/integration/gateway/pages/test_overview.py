"""What operators see, and who is an operator."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.eventually import eventually_async

from fastchat.keys.record import digest

TOKEN = {"authorization": "Bearer token"}


def write_key(folder: Path, name: str, **fields: Any) -> dict[str, str]:
    """A key in the folder; the header that brings it."""
    (folder / name).write_text(json.dumps({"sha256": digest(name.encode()).hex(), **fields}))
    return {"authorization": f"Bearer {name}"}


@pytest.fixture
async def guarded(start_gateway, worker, tmp_path):
    """A gateway with an internal token, a user's key, an operator's, and an operator's that has expired."""
    write_key(tmp_path, "user", models=["m"], requestsPerMinute=60)
    write_key(tmp_path, "operator", operator=True)
    write_key(tmp_path, "former", operator=True, expires="2020-01-01T00:00:00Z")
    return await start_gateway(worker, internal_token=b"token", keys_dir=tmp_path, open_metrics=False)


async def test_it_is_shown_to_the_internal_token_and_to_keys_that_say_so(guarded) -> None:
    expected = {None: 401, "user": 401, "wrong": 401, "former": 401, "operator": 200, "token": 200}
    for path, (key, status) in itertools.product(("/internal/overview", "/metrics"), expected.items()):
        response = await guarded.client.get(path, headers={"authorization": f"Bearer {key}"} if key else {})
        assert response.status_code == status
        if status == 401:
            assert "keys create --operator" in response.json()["error"]["message"]
    response = await guarded.client.get("/demand", headers={"authorization": "Bearer operator"})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_internal_token")


async def test_without_a_token_an_operators_key_still_sees_it(start_gateway, worker, tmp_path) -> None:
    operator = write_key(tmp_path, "operator", operator=True)
    gateway = await start_gateway(worker, keys_dir=tmp_path, open_metrics=False)
    assert (await gateway.client.get("/internal/overview", headers=operator)).status_code == 200
    assert (await gateway.client.get("/internal/overview")).status_code == 401


async def overview(gateway, enough: Callable[[dict[str, Any]], bool]) -> httpx.Response | None:
    """What is shown, once it is enough."""
    response = await gateway.client.get("/internal/overview", headers=TOKEN)
    return response if enough(response.json()) else None


def loads(said: dict[str, Any]) -> list[Any]:
    return [endpoint["loading"] for model in said["models"] for endpoint in model["endpoints"]]


async def test_models_workers_and_requests_are_told_as_they_are(start_gateway, worker, start_worker) -> None:
    load = {"phase": "Downloading", "done": 1, "total": 4, "seconds": 3}
    loading = await start_worker(ready_status=503, ready_body={"status": "loading", "loading": load})
    worker.behaviour = worker.hangs
    gateway = await start_gateway(worker, loading, aliases={"gpt": "m"}, internal_token=b"token")
    asking = asyncio.create_task(gateway.chat())
    await worker.arrived.wait()
    response = await eventually_async(lambda: overview(gateway, lambda said: load in loads(said)))
    (model,) = response.json()["models"]
    assert (model["name"], model["aliases"], model["task"]) == ("m", ["gpt"], "Generate")
    assert (model["ready"], model["replicas"], model["in_flight"], model["held"]) == (1, 2, 1, 0)
    workers = {each["url"]: (each["ready"], each["outstanding"]) for each in model["endpoints"]}
    assert workers == {worker.url: (True, 1), loading.url: (False, 0)}
    assert (response.json()["discovery"], response.headers["cache-control"]) == (None, "no-store")
    asking.cancel()


async def test_keys_are_told_with_their_limits_and_without_what_opens_anything(guarded) -> None:
    text = (await guarded.client.get("/internal/overview", headers=TOKEN)).text
    keys = {key["name"]: key for key in json.loads(text)["keys"]}
    assert keys.keys() == {"user", "operator", "former"}
    assert (keys["user"]["models"], keys["user"]["requests_per_minute"]) == (["m"], 60)
    assert (keys["operator"]["models"], keys["operator"]["operator"]) == (None, True)
    assert keys["former"]["expires"] < time.time()
    assert digest(b"user").hex() not in text
