"""Codex and Claude Code, from npm and without a window, each write a file by what the model says.

What it says is forced (support/clients/forced_worker.py); template, tokenizer, parser, streams and both APIs are the
real ones.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clients.script import Rule, call

CODEX = """
model = "scripted"
model_provider = "here"
model_context_window = 60000

[model_providers.here]
name = "here"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""
WRITTEN: Rule = {"when": "<tool_response>", "say": "It is written."}
REST: Rule = {"when": "", "say": "ok"}
"""For what they ask in passing, such as a title."""


@pytest.fixture
def work(tmp_path) -> Path:
    """The folder that an agent is started in."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def run(agents, client_python, work, tmp_path) -> Callable[..., str]:
    """Runs an agent in its folder; gives what it prints."""

    def run(*command: str, **env: str) -> str:
        path = f"{client_python.parent}:{agents}:{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(tmp_path), "TERM": "dumb", "NO_COLOR": "1", **env}
        done = subprocess.run(
            command, cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
        )
        return done.stdout + done.stderr

    return run


def written(work: Path, said: str, log: Path) -> str:
    note = work / "note.txt"
    assert note.exists(), said + log.read_text()[-6000:]
    return note.read_text()


def test_codex_writes_a_file(forced, forced_worker, url, run, work, tmp_path) -> None:
    say = call("exec_command", cmd="printf 'by codex' > note.txt")
    forced([WRITTEN, {"when": "exec_command", "say": say}, REST])
    (tmp_path / "config.toml").write_text(CODEX.format(url=url))
    command = ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "Write a note.")
    said = run(*command, CODEX_HOME=str(tmp_path), OPENAI_API_KEY="none")
    assert written(work, said, forced_worker.log) == "by codex"
    assert "It is written." in said


def test_claude_code_writes_a_file(forced, forced_worker, url, run, work) -> None:
    say = call("Write", file_path=str(work / "note.txt"), content="by claude")
    forced([WRITTEN, {"when": '"name": "Write"', "say": say}, REST])
    env = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "none",
        "ANTHROPIC_MODEL": "scripted",
        "ANTHROPIC_SMALL_FAST_MODEL": "scripted",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    said = run("claude", "-p", "Write a note.", "--permission-mode", "acceptEdits", **env)
    assert written(work, said, forced_worker.log) == "by claude"
    assert "It is written." in said
