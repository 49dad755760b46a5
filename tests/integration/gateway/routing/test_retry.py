"""A worker fails before the first byte."""

import asyncio

import pytest

CHAT = "/v1/chat/completions"


@pytest.fixture
async def two(start_worker, start_gateway):
    """A gateway and two workers of which the second is asked first: the first has a request outstanding."""
    good, bad = await start_worker(), await start_worker()
    gateway = await start_gateway(good, bad, poll_seconds=30)
    go, never = asyncio.Event(), asyncio.Event()
    good.behaviour = good.waits_for(never, good.says())
    bad.behaviour = bad.waits_for(go, bad.says())
    one_each = [asyncio.create_task(gateway.chat()) for _ in range(2)]
    await asyncio.gather(good.arrived.wait(), bad.arrived.wait())
    go.set()
    _, busy = await asyncio.wait(one_each, return_when=asyncio.FIRST_COMPLETED)
    good.behaviour, bad.behaviour = good.says(), bad.says(503)
    good.requests.clear()
    bad.requests.clear()
    yield gateway, good, bad
    busy.pop().cancel()


async def test_a_refused_connection_is_tried_elsewhere(two) -> None:
    gateway, good, bad = two
    await bad.kill()
    assert (await gateway.chat()).status_code == 200
    assert await gateway.metric("retries_total", model="m") >= 1
    assert len(good.requests) == 1


@pytest.mark.parametrize("status", [502, 503])
async def test_a_worker_that_declines_is_not_asked_again_and_another_is(two, status) -> None:
    gateway, good, bad = two
    bad.behaviour = bad.says(status)
    assert (await gateway.chat()).json() == {"answer": "hello"}
    assert (len(bad.requests), len(good.requests)) == (1, 1)


async def test_a_connection_that_breaks_before_the_answer_is_tried_elsewhere(two) -> None:
    gateway, good, bad = two
    bad.behaviour = bad.resets
    assert (await gateway.chat()).status_code == 200
    assert (len(bad.requests), len(good.requests)) == (1, 1)


async def test_a_worker_that_dies_in_the_middle_of_a_whole_answer_is_tried_elsewhere(two) -> None:
    gateway, _good, bad = two

    async def dies(connection) -> None:
        connection.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
        await asyncio.sleep(0.05)
        connection.reset()

    bad.behaviour = dies
    assert (await gateway.chat()).json() == {"answer": "hello"}


async def test_a_worker_that_dies_between_a_streams_head_and_its_first_event_is_tried_elsewhere(two) -> None:
    gateway, good, bad = two
    bad.behaviour = bad.streams(then=bad.resets)
    good.behaviour = good.streams("data: [DONE]\n\n")
    assert await gateway.lines() == ["data: [DONE]"]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 504])
async def test_any_other_answer_is_the_answer(two, status) -> None:
    gateway, good, bad = two
    bad.behaviour = bad.says(status)
    assert (await gateway.chat()).status_code == status
    assert good.requests == []


async def test_after_three_failures_a_worker_is_ejected(two) -> None:
    gateway, _good, bad = two
    for _ in range(5):
        assert (await gateway.chat()).status_code == 200
    assert len(bad.requests) == 3
    assert await gateway.metric("ejections_total", model="m") == 1


async def test_what_all_workers_decline_gets_the_last_ones_own_answer(start_worker, start_gateway) -> None:
    workers = [await start_worker(), await start_worker()]
    gateway = await start_gateway(*workers)
    for worker in workers:
        worker.behaviour = worker.says(503, {"error": {"message": "full"}}, retry_after="9")
    answer = await gateway.chat()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "9")
    assert all(2 <= len(worker.requests) <= 3 for worker in workers)  # a round may find only one confirmed again


async def test_a_request_that_kills_its_workers_is_given_up(start_worker, start_gateway) -> None:
    workers = [await start_worker() for _ in range(4)]
    gateway = await start_gateway(*workers, poll_seconds=30)
    for worker in workers:
        worker.behaviour = worker.resets
    answer = await gateway.chat()
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "workers_failed"
    assert sum(len(worker.requests) for worker in workers) == 2


async def test_the_only_worker_drops_a_connection_and_gets_the_request_again(gateway, worker) -> None:
    async def once(connection) -> None:
        worker.behaviour = worker.says()
        connection.reset()

    worker.behaviour = once
    assert (await gateway.chat()).status_code == 200


async def test_the_only_worker_is_restarted_and_the_request_waits_for_it(gateway, worker) -> None:
    await worker.kill()
    waiting = asyncio.create_task(gateway.chat())
    await asyncio.sleep(0.3)
    await worker.start()
    assert (await waiting).status_code == 200


FULL = {"error": {"message": "full", "type": "rate_limit_error", "code": "queue_full"}}


@pytest.mark.parametrize("stream", [False, True])
async def test_where_one_workers_queue_is_full_another_is_asked_and_the_first_has_not_failed(two, stream) -> None:
    gateway, good, bad = two
    for _ in range(4):  # one more than failures before an ejection
        bad.behaviour = bad.says(429, FULL)
        assert (await gateway.chat(stream=stream)).json() == {"answer": "hello"}
    assert len(bad.requests) == len(good.requests) == 4
    assert await gateway.metric("ejections_total", model="m") == 0
    bad.behaviour = bad.says()
    assert (await gateway.chat()).status_code == 200
    assert len(bad.requests) == 5


async def test_where_all_queues_are_full_the_client_hears_it(start_worker, start_gateway) -> None:
    workers = [await start_worker() for _ in range(2)]
    for worker in workers:
        worker.behaviour = worker.says(429, FULL, retry_after="7")
    gateway = await start_gateway(*workers)
    answer = await gateway.chat()
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (429, FULL, "7")
    assert [len(worker.requests) for worker in workers] == [1, 1]


@pytest.mark.parametrize(
    "body", [{"error": {"code": "rate_limit_exceeded"}}, {"error": "queue_full"}, b"queue_full", [1]]
)
async def test_another_429_is_the_clients_own(two, body) -> None:
    gateway, good, bad = two
    bad.behaviour = bad.says(429, body)
    assert (await gateway.chat()).status_code == 429
    assert (len(bad.requests), len(good.requests)) == (1, 0)
