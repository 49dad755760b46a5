"""What weights in fewer bits cost in accuracy, with a real model."""

import copy
import math
from pathlib import Path

import pytest
import torch
from support.workers import SMOLLM2

from fastchat_worker.model.loader import load
from fastchat_worker.native.library import Weights
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import locate

from .channels import shuffle_channels

DOCS = Path(__file__).parents[4] / "docs"
TEXTS = ("architecture/overview.md", "architecture/worker.md", "modeldeployment.md", "worker.md")
TOKENS = 256  # of each text
MOST = {Weights.BFLOAT16: 0.005, Weights.INT8: 0.01, Weights.INT4: 0.25}
"""int4 by rounding alone is too coarse for a model this small: 4 % is the goal."""


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
    exact = _loss(native(copy.deepcopy(smollm2.model)), texts)
    print(f"perplexity {math.exp(exact):.3f} with float32, {TOKENS * len(TEXTS)} tokens")
    changes = {weights: _change(native, copy.deepcopy(smollm2.model), weights, texts, exact) for weights in MOST}
    assert {weights.name: change for weights, change in changes.items() if abs(change) >= MOST[weights]} == {}


def _change(native, model, weights, texts, exact) -> float:
    change = math.exp(_loss(native(model, weights=weights), texts) - exact) - 1
    print(f"{weights.name.lower()}: {change:+.2%}")
    return change
