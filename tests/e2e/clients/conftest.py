"""Programs that speak to OpenAI's or Anthropic's API, unchanged, each in an environment of its own."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from support.clients import environments
from support.clients.script import ForcedWorker, Rule
from support.eventually import eventually
from support.gateways import GatewayProcess
from support.models.small import save_small
from support.workers import WorkerProcess

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def client_python() -> Path:
    """An interpreter with every client from PyPI."""
    return environments.python("clients", HERE / "requirements.lock")


@pytest.fixture(scope="session")
def agents(client_python) -> Path:
    """The folder with the commands of the agents from npm; the `node` that they need is beside `client_python`."""
    return environments.node_modules("agents", HERE / "agents", client_python) / ".bin"


@pytest.fixture(scope="session")
def small_model(tmp_path_factory) -> Path:
    """It reads an agent's 20,000 tokens in a second."""
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def worker(small_model, tmp_path_factory) -> Iterator[WorkerProcess]:
    """Has the model `smollm2`, which talks nonsense, and fast."""
    options = ["--model-name=smollm2", f"--model-path={small_model}", "--max-model-len=4096"]
    worker = WorkerProcess(tmp_path_factory.mktemp("worker"), *options)
    yield worker
    worker.stop()


@pytest.fixture(scope="session")
def forced_worker(small_model, tmp_path_factory) -> Iterator[ForcedWorker]:
    """Has the model `scripted`, which says what it is told."""
    options = ["--model-name=scripted", f"--model-path={small_model}", "--max-batched-tokens=4096"]
    worker = ForcedWorker(tmp_path_factory.mktemp("forced"), *options, "--max-batch-size=4")
    yield worker
    worker.stop()


@pytest.fixture(scope="session")
def url(worker, forced_worker) -> Iterator[str]:
    """A gateway before both."""
    gateway = GatewayProcess(f"--worker={worker.url}", f"--worker={forced_worker.url}")
    for each, model in ((worker, "smollm2"), (forced_worker, "scripted")):
        each.wait_ready()
        eventually(lambda model=model: _lists(gateway.url, model), said=each.log.read_text)
    yield gateway.url
    gateway.popen.kill()
    gateway.popen.wait()


def _lists(url: str, model: str) -> bool:
    try:
        return model in httpx.get(f"{url}/v1/models").text
    except httpx.TransportError:
        return False


@pytest.fixture
def forced(forced_worker, url) -> Callable[[Sequence[Rule]], None]:
    """Has the model `scripted` say what rules tell it."""
    return forced_worker.follow


@pytest.fixture
def run_suite(client_python, url, tmp_path) -> Callable[[str], None]:
    """Runs a suite of `suites/` with the clients' interpreter; fails with its output."""

    def run(name: str) -> None:
        env = environments.environ(
            OPENAI_BASE_URL=url + "/v1",
            OPENAI_API_KEY="none",
            ANTHROPIC_BASE_URL=url,
            ANTHROPIC_API_KEY="none",
            OPENAI_AGENTS_DISABLE_TRACING="1",
            LANGSMITH_TRACING="false",
            LITELLM_LOCAL_MODEL_COST_MAP="true",
            LLM_USER_PATH=str(tmp_path),
            HF_HUB_OFFLINE="1",
            HF_HOME=str(tmp_path),
        )
        options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, "-o", "asyncio_mode=auto"]
        command = [str(client_python), "-m", "pytest", *options, str(HERE / "suites" / f"{name}.py")]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-4000:]

    return run
