"""The commands of README, the quickstart of one machine and the recipes of clients, typed as they stand there."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cluster.tools import packages
from support.clients import environments
from support.eventually import eventually
from support.pages.blocks import QUICKSTARTS, ROOT, Block, blocks, commands

QUICKSTART = ROOT / "docs/quickstart/one-machine.md"
RECIPES = ROOT / "docs/recipes/clients.md"
CLIENTS = ROOT / "tests/e2e/clients"
LOCKS = {
    "langchain_openai": ("clients", CLIENTS / "requirements.lock"),
    "llama_index": ("llama-index", CLIENTS / "llama_index/requirements.lock"),
}
"""Package → environment: LlamaIndex needs another openai than all other clients do.

Those whose recipes set more than an address; the others make the calls that tests/e2e/clients makes.
"""
SERVED_AT = "http://localhost:8000"
ASKING = [(page, block) for page in QUICKSTARTS for block in blocks(page) if block.language == "python"] + [
    (page, block) for page in QUICKSTARTS for block in commands(page, "")
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the quickstart says to start, on the port that it says."""
    (block,) = commands(QUICKSTART, "in the background")
    with httpx.Client() as http, started(block.text, tmp_path_factory.mktemp("server") / "log") as (process, log):

        def serves() -> bool:
            assert process.poll() is None, log.read_text()
            return "Serving on" in log.read_text() and http.get(f"{SERVED_AT}/ready").status_code == 200

        eventually(serves, 180, said=log.read_text)
        yield


@contextmanager
def started(command: str, log: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    with log.open("wb") as output:
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=checkout(), stdout=output, stderr=output)
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def checkout() -> Path:
    """Where commands are typed; its environment is the one that runs the tests."""
    assert (ROOT / ".venv/bin/fastchat").exists(), "the commands name .venv, which `make test` has"
    return ROOT


def run(block: Block, python: str = sys.executable) -> str:
    packages.require_named(block.text)
    command = [python, "-"] if block.language == "python" else ["bash", "-euo", "pipefail", "-s"]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "FASTCHAT_"))}
    done = subprocess.run(
        command, input=block.text, cwd=checkout(), env=surroundings, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(("page", "block"), ASKING, ids=lambda it: it.name if isinstance(it, Path) else it.language)
def test_each_block_that_asks_the_server_gets_what_it_asks_for(page, block, server):
    said = run(block)
    assert said.strip()
    assert not said.strip().startswith('{"error"')


@pytest.mark.parametrize("package", LOCKS)
def test_a_clients_recipe_gets_what_it_asks_for(package, server):
    (block,) = (block for block in blocks(RECIPES) if re.search(rf"^(from|import) {package}\b", block.text, re.M))
    answer, shape = run(block, str(environments.python(*LOCKS[package]))).strip().rsplit("\n", 1)
    assert answer
    assert shape == "2 384"


def test_both_pages_ask():
    assert {page.name for page, _ in ASKING} == {"README.md", "one-machine.md"}
