"""Real sockets: workers that behave as they are told, and a real gateway before them."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from support.gateways import Running, serving
from support.scripted_worker import Connection, Worker

from fastchat_gateway.settings import Settings

StartWorker = Callable[..., Awaitable[Worker]]
StartGateway = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start_worker() -> AsyncIterator[StartWorker]:
    """Starts a worker; fields of Worker as arguments."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**fields: Any) -> Worker:
            worker = await Worker(**fields).start()
            stack.push_async_callback(worker.kill)
            return worker

        yield start


@pytest.fixture
async def start_gateway() -> AsyncIterator[StartGateway]:
    """Starts a gateway before workers; fields of Settings as further arguments."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*workers: Worker, **settings: Any) -> Running:
            urls = tuple(worker.url for worker in workers)
            chosen: dict[str, Any] = {"poll_seconds": 0.1, "access_log": False, "grace_period_seconds": 0.1}
            chosen["open_metrics"] = True
            url, server = await stack.enter_async_context(serving(Settings(workers=urls, **chosen | settings)))
            client = await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=60, verify=False, trust_env=False)
            )
            return Running(url, client, server)

        yield start


@pytest.fixture
async def worker(start_worker: StartWorker) -> Worker:
    return await start_worker()


@pytest.fixture
async def gateway(start_gateway: StartGateway, worker: Worker) -> Running:
    """A gateway before one worker."""
    return await start_gateway(worker)


async def answers_by_path(connection: Connection) -> None:
    """What an honest worker says."""
    asked = connection.request.json
    if "prompts" in asked:
        result = {"fits": True, "tokenCount": 1, "contextLength": 64}
        connection.answer(200, {"prompts": [result] * len(asked["prompts"])})
    elif asked.get("stream"):
        await Worker.streams("data: {}\n\n", "data: [DONE]\n\n")(connection)
    elif "embeddings" in connection.request.path:
        connection.answer(200, {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]})
    else:
        connection.answer(200, {"id": "x", "object": "x", "created": 1, "model": "m", "choices": []})


@pytest.fixture(scope="session")
def live_url() -> Iterator[str]:
    """A gateway before an honest worker, both in threads, for tests that are not async themselves."""
    ready: queue.Queue[str] = queue.Queue()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def live() -> None:
        worker = await Worker(behaviour=answers_by_path).start()
        async with serving(Settings(workers=(worker.url,), access_log=False, grace_period_seconds=0.1)) as (url, _):
            ready.put(url)
            await over.wait()
        await worker.kill()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    yield ready.get(timeout=60)
    loop.call_soon_threadsafe(over.set)
    thread.join(60)
    loop.close()
