"""What int8 weights cost in accuracy, with a real model."""

from pathlib import Path

import pytest
import torch
from support.workers import SMOLLM2

from fastchat_worker.model.loader import load
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import locate

DOCS = Path(__file__).parents[4] / "docs"
TEXTS = ("architecture/overview.md", "architecture/worker.md", "modeldeployment.md", "worker.md")
TOKENS = 512  # of each text


@pytest.fixture(scope="module")
def smollm2_model(tmp_path_factory):
    """Loads SmolLM2-135M."""
    settings, cache = Settings(model_name="m", model_path=SMOLLM2), tmp_path_factory.mktemp("cache")
    return lambda: load(locate(SMOLLM2, cache, print), settings, print)


def _loss(runner, texts) -> float:
    """Nats per token over all texts."""
    losses = [
        torch.nn.functional.cross_entropy(runner.logits(text)[:-1], torch.tensor(text[1:]), reduction="sum")
        for text in texts
    ]
    return float(sum(losses)) / sum(len(text) - 1 for text in texts)


def test_perplexity_with_int8_weights_is_within_one_percent_of_float32(native, smollm2_model):
    model = smollm2_model()
    texts = [model.tokens((DOCS / name).read_text(), "", TOKENS) for name in TEXTS]
    exact = _loss(native(model.model), texts)
    rounded = _loss(native(smollm2_model().model, int8=True), texts)
    change = float(torch.tensor(rounded - exact).exp()) - 1
    print(f"perplexity {2.718281828**exact:.3f} with float32, {change:+.3%} with int8, {TOKENS * len(TEXTS)} tokens")
    assert abs(change) < 0.01
