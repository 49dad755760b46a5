"""Two workers of one model, of which one goes on where the other stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.models.small import save_small
from support.workers import WorkerProcess

OPTIONS = ("--model-name=small", "--max-model-len=2048", "--prefix-caching=shared")


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session", params=["native", "torch"])
def pair(request, small, tmp_path_factory) -> Iterator[tuple[WorkerProcess, WorkerProcess]]:
    """The second one computes with the other executor only where the first one does too."""
    options = (*OPTIONS, f"--model-path={small}", f"--executor={request.param}")
    workers = [WorkerProcess(tmp_path_factory.mktemp("worker"), *options) for _ in range(2)]
    yield workers[0].wait_ready(), workers[1].wait_ready()
    for worker in workers:
        worker.stop()
