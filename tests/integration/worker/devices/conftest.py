"""The device of a test, and a small model there."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from support.models.devices import DEVICES, need

from fastchat_worker.engine.runner import Runner


@pytest.fixture(scope="module", params=DEVICES)
def device(request) -> str:
    """cpu or cuda."""
    return need(request.param)


@pytest.fixture
def small(device) -> Callable[[], Any]:
    """Makes a model in float32, always of the same weights."""

    def make() -> Any:
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=211, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.2, eos_token_id=2,
        )  # fmt: skip
        model = transformers.LlamaForCausalLM(config).eval().to(device)
        model.generation_config = transformers.GenerationConfig()
        return model

    return make


def _again(run: Callable[[], None]) -> Callable[[], None]:
    """In place of CUDA's graphs on the CPU: does the same again."""
    return run


@pytest.fixture(params=["off", "on"])
def executor(request, device) -> Callable[[Any], Runner]:
    """Makes an executor of a model: without CUDA graphs and with them."""

    def make(model: Any) -> Runner:
        runner = Runner(model)
        if request.param == "on":
            runner.record_decode(None if device == "cuda" else _again)
        return runner

    return make
