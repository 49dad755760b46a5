"""Two workers of one model, of which one goes on where the other stopped."""

from collections.abc import Iterator

import pytest
from support.clients.script import ForcedWorker
from support.models.small import save_small

from .kinds import SCRIPT, TEMPLATE


@pytest.fixture(scope="session")
def options(tmp_path_factory) -> list[str]:
    """Of every worker here."""
    folder = save_small(tmp_path_factory.mktemp("small"))
    (folder / "template.jinja").write_text(TEMPLATE)
    template = f"--chat-template={folder / 'template.jinja'}"
    return ["--model-name=small", f"--model-path={folder}", "--max-model-len=2048", template]


@pytest.fixture(scope="session", params=["native", "torch"])
def pair(request, options, tmp_path_factory) -> Iterator[tuple[str, str]]:
    """Their URLs."""
    own = (*options, f"--executor={request.param}", "--prefix-caching=shared", "--max-queue=64")
    workers = [ForcedWorker(tmp_path_factory.mktemp("worker"), *own) for _ in range(2)]
    for worker in workers:
        worker.follow(SCRIPT)
    first, second = (worker.wait_ready().url for worker in workers)
    yield first, second
    for worker in workers:
        worker.stop()
