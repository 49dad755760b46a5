"""Codex and Claude Code, from npm and without a window, each write a file by what the model says.

What it says is forced (support/clients/forced_worker.py); template, tokenizer, parser, streams and both APIs are the
real ones.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from support.eventually import eventually
from support.gateways import GatewayProcess
from support.ports import free_port

CODEX = """
model = "agent"
model_provider = "here"
model_context_window = 60000

[model_providers.here]
name = "here"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""


def call(name: str, **arguments: str) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


@pytest.fixture
def forced(small_model, tmp_path) -> Iterator[Callable[[list[dict[str, str]]], str]]:
    """Starts a gateway before a worker whose model says what it is told; gives the gateway's address."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: list[dict[str, str]]) -> str:
        file, log, port = tmp_path / "script.json", tmp_path / "worker.log", free_port()
        file.write_text(json.dumps(script))
        options = ["--model-name=agent", f"--model-path={small_model}", f"--port={port}", "--max-batched-tokens=4096"]
        with log.open("wb") as out:
            command = [sys.executable, "-m", "support.clients.forced_worker", str(file), *options]
            env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
            started.append(subprocess.Popen(command, stdout=out, stderr=out, env=env))
        gateway = GatewayProcess(f"--worker=http://127.0.0.1:{port}")
        started.append(gateway.popen)
        eventually(lambda: "agent" in _models(gateway.url), 180, said=log.read_text)
        return gateway.url

    yield start
    for process in started:
        process.kill()
        process.wait()


def _models(url: str) -> str:
    try:
        return httpx.get(f"{url}/v1/models").text
    except httpx.TransportError:
        return ""


def run(command: list[str], folder: Path, agents: Path, client_python: Path, **env: str) -> str:
    """What an agent prints; it works in a folder of its own."""
    path = f"{client_python.parent}:{agents}:{os.environ['PATH']}"
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    env = {"PATH": path, "HOME": str(home), "TERM": "dumb", "NO_COLOR": "1", **env}
    done = subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    )
    return done.stdout + done.stderr


def test_codex_writes_a_file(forced, agents, client_python, tmp_path) -> None:
    say = call("exec_command", cmd="printf 'by codex' > note.txt")
    url = forced([{"when": "exec_command", "say": say}, {"when": "tool_response", "say": "It is written."}])
    folder, codex_home = tmp_path / "work", tmp_path / "codex"
    folder.mkdir()
    codex_home.mkdir()
    (codex_home / "config.toml").write_text(CODEX.format(url=url))
    command = ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "Write a note."]
    said = run(command, folder, agents, client_python, CODEX_HOME=str(codex_home), OPENAI_API_KEY="none")
    assert (folder / "note.txt").exists(), said + (tmp_path / "worker.log").read_text()[-6000:]
    assert (folder / "note.txt").read_text() == "by codex"
    assert "It is written." in said


def test_claude_code_writes_a_file(forced, agents, client_python, tmp_path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    say = call("Write", file_path=str(folder / "note.txt"), content="by claude")
    url = forced([{"when": '"name": "Write"', "say": say}, {"when": "tool_response", "say": "It is written."}])
    env = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "none",
        "ANTHROPIC_MODEL": "agent",
        "ANTHROPIC_SMALL_FAST_MODEL": "agent",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = ["claude", "-p", "Write a note.", "--permission-mode", "acceptEdits"]
    said = run(command, folder, agents, client_python, **env)
    assert (folder / "note.txt").exists(), said + (tmp_path / "worker.log").read_text()[-6000:]
    assert (folder / "note.txt").read_text() == "by claude"
    assert "It is written." in said
