"""The `llm` command."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from llm.cli import cli


@pytest.fixture(autouse=True)
def configured():
    base = os.environ["OPENAI_BASE_URL"]
    config = f"- model_id: here\n  model_name: smollm2\n  api_base: {base}\n  api_key_name: openai\n"
    (Path(os.environ["LLM_USER_PATH"]) / "extra-openai-models.yaml").write_text(config)


def llm(*arguments):
    """What the command prints. In this process: importing it takes longer than all that it does here."""
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("streams", [[], ["--no-stream"]])
def test_a_prompt(streams):
    assert llm("-m", "here", "Say hello.", "-o", "max_tokens", "8", *streams).strip()


def test_a_conversation_goes_on():
    llm("-m", "here", "My name is Ada.", "-o", "max_tokens", "8")
    assert llm("-c", "What is my name?", "-o", "max_tokens", "8").strip()
