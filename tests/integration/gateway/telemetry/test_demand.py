"""GET /demand of a real gateway: what the autoscaler listens to."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from support.eventually import eventually_async as eventually

from fastchat.keys.record import digest

TOKEN = b"internal-token"
BEARER = {"Authorization": "Bearer internal-token"}


class Demand:
    """What a gateway has said so far."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> dict[str, Any]:
        """The next line, of model m."""
        async with asyncio.timeout(60):
            return json.loads(await anext(self._lines))["models"].get("m", {})

    async def until(self, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not enough(said := await self.next()):
            pass
        return said

    async def end(self) -> None:
        """Returns when there are no more lines."""
        async with asyncio.timeout(60):
            async for _ in self._lines:
                pass


@contextlib.asynccontextmanager
async def listening(gateway) -> AsyncIterator[Demand]:
    async with gateway.client.stream("GET", "/demand", headers=BEARER) as answer:
        assert answer.status_code == 200
        yield Demand(answer.aiter_lines())


def outstanding(said: dict[str, Any]) -> list[int]:
    return [each["outstanding"] for each in said.get("endpoints", [])]


@pytest.fixture
async def gateway(start_gateway, worker):
    """A gateway before one worker, with a token."""
    return await start_gateway(worker, internal_token=TOKEN)


@pytest.fixture
async def asking(gateway, worker) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Sends a request that its worker does not answer."""
    worker.behaviour = worker.hangs
    tasks = []

    async def ask() -> None:
        tasks.append(asyncio.create_task(gateway.chat()))

    yield ask
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def reticent(monkeypatch) -> None:
    """What is not told at once is not told for ten minutes."""
    monkeypatch.setattr("fastchat_gateway.telemetry.demand._CHANGE_SECONDS", 600)
    monkeypatch.setattr("fastchat_gateway.telemetry.demand._SILENCE_SECONDS", 600)


async def test_the_first_line_comes_at_once_and_says_what_is_idle_too(reticent, gateway, worker) -> None:
    async with listening(gateway) as demand:
        assert await demand.next() == {"held": 0, "endpoints": [{"url": worker.url, "uid": "", "outstanding": 0}]}


async def test_a_first_request_is_told_at_once(reticent, gateway, asking) -> None:
    async with listening(gateway) as demand:
        await demand.next()
        await asking()
        assert outstanding(await demand.next()) == [1]


async def test_the_end_of_a_request_is_told(gateway, worker, asking) -> None:
    async with listening(gateway) as demand:
        await demand.next()
        await asking()
        await demand.until(lambda said: any(outstanding(said)))
        await worker.kill()
        await demand.until(lambda said: not any(outstanding(said)))


async def test_a_request_that_is_held_is_told_as_such(start_gateway, start_worker) -> None:
    worker = await start_worker()
    gateway = await start_gateway(worker, internal_token=TOKEN)
    worker.ready_status = 503
    async with listening(gateway) as demand:
        await asyncio.sleep(0.5)
        task = asyncio.create_task(gateway.chat())
        assert outstanding(await demand.until(lambda said: said["held"] == 1)) == [0]
        worker.ready_status = 200
        assert (await task).status_code == 200
        await demand.until(lambda said: said["held"] == 0)


async def test_how_far_a_worker_is_that_loads_is_told_until_it_is_ready(start_gateway, start_worker) -> None:
    load = {"phase": "Downloading", "done": 1, "total": 4, "seconds": 3}
    worker = await start_worker(ready_status=503, ready_body={"status": "loading", "loading": load})
    gateway = await start_gateway(worker, internal_token=TOKEN)
    async with listening(gateway) as demand:
        said = await demand.until(lambda said: any("loading" in each for each in said.get("endpoints", [])))
        assert said["endpoints"][0]["loading"] == load
        worker.ready_status = 200
        await demand.until(lambda said: not any("loading" in each for each in said["endpoints"]))


@pytest.mark.parametrize("body", [None, [], {"loading": {"phase": "Odd"}}, {"loading": 7}, "x" * 2_000_000])
async def test_a_worker_that_says_nonsense_of_its_load_is_passed_over(start_gateway, start_worker, body) -> None:
    other = {"loading": {"phase": "Loading"}}
    workers = [await start_worker(ready_status=503, ready_body=said) for said in (body, other)]
    gateway = await start_gateway(*workers, internal_token=TOKEN)
    async with listening(gateway) as demand:
        said = await demand.until(lambda said: any("loading" in each for each in said.get("endpoints", [])))
    assert {each["url"]: each.get("loading") for each in said["endpoints"]} == {
        workers[0].url: None,
        workers[1].url: {"phase": "Loading"},
    }


async def test_an_idle_gateway_says_so_every_two_seconds(gateway) -> None:
    async with listening(gateway) as demand:
        await demand.next()
        began = time.monotonic()
        await demand.next()
        await demand.next()
        assert time.monotonic() - began > 3.5


@pytest.mark.parametrize("path", ["/demand", "/metrics"])
@pytest.mark.parametrize("token", [TOKEN, None])
async def test_what_is_internal_is_told_with_the_internal_token_only(start_gateway, worker, path, token) -> None:
    keys = (digest(b"key"),)
    for settings in ({}, {"key_digests": keys}):
        gateway = await start_gateway(worker, internal_token=token, open_metrics=False, **settings)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer key"}):
            answer = await gateway.client.get(path, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_internal_token")
            assert "FASTCHAT_INTERNAL_TOKEN" in answer.json()["error"]["message"]
        async with gateway.client.stream("GET", path, headers=BEARER) as answer:
            assert answer.status_code == (200 if token else 401)


async def test_metrics_that_are_opened_are_told_to_all_and_demand_is_not(start_gateway, worker) -> None:
    gateway = await start_gateway(worker, internal_token=TOKEN, open_metrics=True, key_digests=(digest(b"key"),))
    assert (await gateway.client.get("/metrics")).status_code == 200
    assert (await gateway.client.get("/demand")).status_code == 401


async def test_while_the_gateway_drains_its_demand_is_told_until_the_last_request_has_ended(
    start_gateway, worker
) -> None:
    gateway = await start_gateway(worker, grace_period_seconds=30, internal_token=TOKEN)
    answer = asyncio.Event()
    worker.behaviour = worker.waits_for(answer, worker.says())
    async with listening(gateway) as demand:
        task = asyncio.create_task(gateway.chat())
        await worker.arrived.wait()
        gateway.server.handle_exit(15, None)
        await asyncio.sleep(0.5)
        assert outstanding(await demand.until(lambda said: any(outstanding(said)))) == [1]
        answer.set()
        assert (await task).status_code == 200
        await demand.end()


@pytest.mark.parametrize(
    ("path", "fields", "sequences"),
    [
        ("/v1/chat/completions", {"n": 3}, 3),
        ("/v1/completions", {"prompt": ["a", "b", "c"], "n": 2}, 6),
        ("/v1/embeddings", {"input": ["a"] * 40}, 40),
    ],
)
async def test_a_request_counts_for_its_sequences_as_long_as_it_lasts(gateway, worker, path, fields, sequences) -> None:
    worker.behaviour = worker.hangs
    async with asyncio.timeout(60), listening(gateway) as demand:
        asking = asyncio.create_task(gateway.chat(path, **fields))
        await demand.until(lambda said: outstanding(said) == [sequences])
        asking.cancel()
        await demand.until(lambda said: outstanding(said) == [0])


async def test_a_held_request_counts_for_its_sequences(start_gateway, start_worker) -> None:
    worker = await start_worker()
    gateway = await start_gateway(worker, internal_token=TOKEN)
    worker.ready_status = 503
    async with asyncio.timeout(60), listening(gateway) as demand:
        await gateway.reaches(0, "endpoints_ready", model="m")
        asking = asyncio.create_task(gateway.chat(n=5))
        await demand.until(lambda said: said.get("held") == 5)
        asking.cancel()
        await demand.until(lambda said: said.get("held") == 0)


async def test_a_worker_with_many_sequences_of_one_request_is_left_alone(start_gateway, start_worker) -> None:
    busy, other = await start_worker(), await start_worker()
    gateway = await start_gateway(busy, other)
    other.behaviour = busy.behaviour = busy.hangs
    large = asyncio.create_task(gateway.chat(n=8))
    await eventually(lambda: busy.requests or other.requests)
    if other.requests:
        busy, other = other, busy
    small = [asyncio.create_task(gateway.chat()) for _ in range(7)]
    await eventually(lambda: len(other.requests) == 7)
    assert len(busy.requests) == 1
    for task in (large, *small):
        task.cancel()
