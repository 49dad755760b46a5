"""Workers with one small model behind a gateway."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from integration.resuming.faults import TOKEN
from support.eventually import eventually_async
from support.gateways import Running, serving
from support.models.small import save_small
from support.workers import WorkerProcess

from fastchat_gateway.settings import Settings


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def start_worker(small, tmp_path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a worker, which is ready when this returns; it takes further options."""
    workers: list[WorkerProcess] = []

    def start(*options: str, model: Path | str = small, port: int = 0) -> WorkerProcess:
        own = ("--model-name=small", f"--model-path={model}", "--max-model-len=2048", "--prefix-caching=off")
        workers.append(worker := WorkerProcess(tmp_path, *own, *options, port=port))
        return worker.wait_ready()

    yield start
    for worker in workers:
        worker.stop()


@pytest.fixture
async def start_gateway() -> AsyncIterator[Callable[..., object]]:
    """Starts a gateway before workers. patience: seconds without a sign of life after which it probes one."""
    async with AsyncExitStack() as stack:

        async def start(*workers: WorkerProcess, patience: float = 2.0) -> Running:
            settings = Settings(
                workers=tuple(worker.url for worker in workers),
                poll_seconds=0.1,
                silence_seconds=patience,
                poll_timeout_seconds=patience,
                grace_period_seconds=0.1,
                access_log=False,
                open_metrics=True,
                internal_token=TOKEN,
            )
            url, server = await stack.enter_async_context(serving(settings))
            client = httpx.AsyncClient(base_url=url, timeout=300, verify=False, trust_env=False, limits=UNLIMITED)
            gateway = Running(url, await stack.enter_async_context(client), server)
            ready = {"fastchat_gateway_endpoints_ready": len(workers)}

            async def all_ready() -> bool:
                return (
                    await gateway.metric("endpoints_ready", model="small") == ready["fastchat_gateway_endpoints_ready"]
                )

            await eventually_async(all_ready)
            return gateway

        yield start


UNLIMITED = httpx.Limits(max_connections=None)
