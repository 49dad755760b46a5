"""What weights in fewer bits cost in accuracy, with a real model."""

import copy
import math
from pathlib import Path

import pytest
import torch
from support.workers import SMOLLM2

from fastchat_worker.engine.selection.executor import select
from fastchat_worker.model.loader import load
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import locate

from .channels import shuffle_channels

DOCS = Path(__file__).parents[4] / "docs"
TEXTS = ("architecture/overview.md", "architecture/worker.md", "modeldeployment.md", "worker.md")
TOKENS = 256  # of each text
MOST = {"bfloat16": 0.005, "int8": 0.01, "int4": 0.04}


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """SmolLM2-135M.

    Its file is in Q4_1, whose weights are steps of 4 bits in groups of 32. The channels are shuffled, so that groups
    are of weights that were in many: else int4 would find the file's own steps again and cost nothing.
    """
    settings, cache = Settings(model_name="m", model_path=SMOLLM2), tmp_path_factory.mktemp("cache")
    loaded = load(locate(SMOLLM2, cache, print), settings, print)
    shuffle_channels(loaded.model)
    return loaded


def _loss(runner, texts) -> float:
    """Nats per token over all texts."""
    losses = [
        torch.nn.functional.cross_entropy(runner.logits(text)[:-1], torch.tensor(text[1:]), reduction="sum")
        for text in texts
    ]
    return float(sum(losses)) / sum(len(text) - 1 for text in texts)


def test_perplexity_is_within_what_is_promised_of_float32(native, smollm2):
    texts = [smollm2.tokens((DOCS / name).read_text(), "", TOKENS) for name in TEXTS]
    exact = _loss(_executor(smollm2.model, "float32"), texts)
    print(f"perplexity {math.exp(exact):.3f} with float32, {TOKENS * len(TEXTS)} tokens")
    changes = {name: math.exp(_loss(_executor(smollm2.model, name), texts) - exact) - 1 for name in MOST}
    print(", ".join(f"{name}: {change:+.2%}" for name, change in changes.items()))
    assert {name: change for name, change in changes.items() if abs(change) >= MOST[name]} == {}


def _executor(model, name):
    """As the worker makes it."""
    taken = copy.deepcopy(model).to(torch.bfloat16 if name == "bfloat16" else torch.float32)
    return select(taken, "native", name if name in ("int8", "int4") else "none")
