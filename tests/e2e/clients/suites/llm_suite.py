"""The `llm` command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def configured():
    base = os.environ["OPENAI_BASE_URL"]
    config = f"- model_id: here\n  model_name: smollm2\n  api_base: {base}\n  api_key_name: openai\n"
    (Path(os.environ["LLM_USER_PATH"]) / "extra-openai-models.yaml").write_text(config)


def llm(*arguments):
    return subprocess.run([sys.executable, "-m", "llm", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("streams", [[], ["--no-stream"]])
def test_a_prompt(streams):
    assert llm("-m", "here", "Say hello.", "-o", "max_tokens", "8", *streams).strip()


def test_a_conversation_goes_on():
    llm("-m", "here", "My name is Ada.", "-o", "max_tokens", "8")
    assert llm("-c", "What is my name?", "-o", "max_tokens", "8").strip()
