"""What a worker imports before it serves, told by processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from support.workers import SMOLLM2
from transformers.utils import import_utils

from fastchat_worker.lean import _find_names_fast

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
from fastchat_worker.lean import import_shapes
import_shapes()
assert torch.special.multigammaln(torch.ones(3, device="meta") + 3, 2).shape == (3,)
assert torch._dynamo.optimize and torch.compiler.disable(lambda: 7)() == 7
import transformers.models
assert transformers.models.llama.LlamaForCausalLM is transformers.LlamaForCausalLM
"""


_SHAPES = ("torch._meta_registrations", "torch._refs", "torch._decomp.decompositions")
"""How operators work on tensors without numbers."""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules of a process that has loaded SmolLM2, which then uses the compiler."""
    done = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "heavy", ["torch._dynamo", "torch._inductor", "triton", "scipy", "sklearn", "pandas", *_SHAPES]
)
def test_a_language_model_is_loaded_without(heavy: str, imported: set[str]) -> None:
    assert heavy not in imported


def test_what_every_model_is_made_of_is_imported(imported: set[str]) -> None:
    assert {"transformers.models.llama.modeling_llama", "transformers.generation.utils"} <= imported


def test_names_of_transformers_that_are_looked_for_from_where_they_stand_are_those_of_all_its_files():
    class Structure:
        fetch__all__ = staticmethod(import_utils.fetch__all__)

    _find_names_fast(Structure)
    files = list(Path(transformers.__file__).with_name("models").rglob("*.py"))
    assert len(files) > 2000
    for file in files[::5]:
        text = file.read_text()
        assert Structure.fetch__all__(text) == import_utils.fetch__all__(text), file
