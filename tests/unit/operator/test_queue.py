"""Keys that wait: each once, never two at a time, again after a failure."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from fastchat._kube.errors import ApiError
from fastchat_operator.key import Key, ModelKey
from fastchat_operator.queue import Queue

A, B = ModelKey("team", "a"), ModelKey("team", "b")


class Work:
    """Records what is reconciled; each run lasts until `step`, which decides how it ends."""

    def __init__(self) -> None:
        self.started: list[Key] = []
        self._gates: list[asyncio.Future[None]] = []

    async def __call__(self, key: Key) -> None:
        self.started.append(key)
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gates.append(gate)
        await gate

    async def step(self, error: Exception | None = None) -> None:
        """End the run that began first."""
        gate = self._gates.pop(0)
        gate.set_exception(error) if error else gate.set_result(None)
        await pause()


async def pause():
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def working(pending: Queue, work, workers=2):
    task = asyncio.create_task(pending.run(work, workers))
    await pause()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def delays(monkeypatch):
    """How long the queue would wait before each further try; it waits not at all."""
    loop, waited = asyncio.get_running_loop(), []

    def at_once(delay, due, *arguments):
        waited.append(delay)
        return loop.call_soon(due, *arguments)

    monkeypatch.setattr(loop, "call_later", at_once)
    return waited


async def test_a_key_that_waits_already_is_not_added_again():
    pending, work = Queue(), Work()
    pending.add([A, B, A])
    async with working(pending, work):
        await work.step()
        await work.step()
    assert work.started == [A, B]


async def test_a_key_is_never_reconciled_by_two_at_a_time():
    pending, work = Queue(), Work()
    pending.add([A])
    async with working(pending, work):
        pending.add([A])
        pending.add([A])
        await pause()
        assert work.started == [A]
        await work.step()
        assert work.started == [A, A]
        await work.step()
        assert work.started == [A, A]


async def test_one_slow_key_does_not_hold_up_another():
    pending, work = Queue(), Work()
    pending.add([A, B])
    async with working(pending, work):
        assert work.started == [A, B]


async def test_more_keys_than_workers_wait_for_their_turn():
    pending, work = Queue(), Work()
    pending.add([A, B])
    async with working(pending, work, workers=1):
        assert work.started == [A]
        await work.step()
        assert work.started == [A, B]


async def failing(error, times):
    """The queue and its work after a key failed so often."""
    pending, work = Queue(), Work()
    pending.add([A])
    async with working(pending, work):
        for _ in range(times):
            await work.step(error)
        await work.step()
    return work.started


async def test_a_key_that_failed_is_tried_again_after_ever_longer_waits(delays):
    assert await failing(ApiError(503, "busy"), 7) == [A] * 8
    assert delays == [0.5, 1, 2, 4, 8, 8, 8]


async def test_a_refusal_that_will_hardly_change_is_tried_less_and_less_often(delays):
    await failing(ApiError(422, "invalid"), 9)
    assert delays == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_fault_of_the_operator_stops_neither_the_key_nor_the_others(delays, caplog):
    assert await failing(KeyError("x"), 1) == [A, A]
    assert "team/a: the operator is at fault" in caplog.text


async def test_waits_are_short_again_after_a_success(delays):
    pending, work = Queue(), Work()
    pending.add([A])
    async with working(pending, work):
        for error in (ApiError(0, "away"), ApiError(0, "away"), None):
            await work.step(error)
        pending.add([A])
        await pause()
        await work.step(ApiError(0, "away"))
    assert delays == [0.5, 1, 0.5]


async def test_news_of_a_key_that_waits_for_its_next_try_has_it_tried_at_once():
    pending, work = Queue(), Work()
    pending.add([A])
    async with working(pending, work):
        await work.step(ApiError(503, "busy"))
        pending.add([A])
        await pause()
        assert work.started == [A, A]


async def test_a_key_is_not_tried_before_the_api_server_asked_for(delays):
    await failing(ApiError(429, "too many requests", retry_after=7), 5)
    assert delays == [7, 7, 7, 7, 8]


async def test_news_of_a_key_that_is_to_wait_are_looked_at_once_a_second(monkeypatch):
    pending, work, loop = Queue(), Work(), asyncio.get_running_loop()
    waited, call_later = [], loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda delay, *rest: waited.append(delay) or call_later(delay, *rest))
    pending.add([A])
    async with working(pending, work):
        await work.step(ApiError(429, "too many requests", retry_after=7))
        for _ in range(100):
            pending.add([A])
            await pause()
    assert work.started == [A]
    assert waited[0] == 7
    assert all(0 < delay <= 1 for delay in waited[1:])


async def test_the_same_failure_is_logged_once(delays, caplog):
    await failing(ApiError(503, "busy"), 5)
    assert len([each for each in caplog.messages if "busy" in each]) == 1


async def test_nothing_is_remembered_of_a_key_that_is_done(delays):
    pending, work = Queue(), Work()
    pending.add([A])
    async with working(pending, work):
        await work.step(ApiError(0, "away"))
        await work.step()
        assert not pending._entries
