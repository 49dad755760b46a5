"""SmolLM2 behind a gateway with an API key."""

from collections.abc import Iterator

import httpx
import pytest
from integration.worker.serving.test_behind_gateway import gateway
from support.workers import WorkerProcess

KEY = "secret"


@pytest.fixture(scope="session")
def agents_url(smollm2: WorkerProcess) -> Iterator[str]:
    """Address of the gateway."""
    with gateway(smollm2, {"FASTCHAT_API_KEYS": KEY}, key=KEY) as client:
        yield str(client.base_url)


@pytest.fixture
def agent(agents_url: str) -> Iterator[httpx.Client]:
    """A client with the key where Anthropic's clients have it."""
    with httpx.Client(base_url=agents_url, timeout=600, headers={"x-api-key": KEY}) as client:
        yield client
