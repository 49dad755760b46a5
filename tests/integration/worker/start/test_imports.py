"""What a worker imports before it serves, told by processes of their own."""

import subprocess
import sys

import pytest
from support.workers import SMOLLM2

_LOAD = f"""
import sys
from fastchat_worker.lean import import_transformers
import_transformers(ranks=False)
from fastchat_worker.http import server
from fastchat_worker.serving.service import Service
from fastchat_worker.settings import parse
service = Service(parse(["--model-name", "m", "--model-path", "{SMOLLM2}"]))
service.load()
print(*sys.modules)
import torch
assert torch._dynamo.optimize and torch.compiler.disable(lambda: 7)() == 7
import transformers.models
assert transformers.models.llama.LlamaForCausalLM is transformers.LlamaForCausalLM
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules of a process that has loaded SmolLM2, which then uses the compiler."""
    done = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("heavy", ["torch._dynamo", "torch._inductor", "triton", "scipy", "sklearn", "pandas"])
def test_a_language_model_is_loaded_without(heavy: str, imported: set[str]) -> None:
    assert heavy not in imported


def test_what_every_model_is_made_of_is_imported(imported: set[str]) -> None:
    assert {"transformers.models.llama.modeling_llama", "transformers.generation.utils"} <= imported
