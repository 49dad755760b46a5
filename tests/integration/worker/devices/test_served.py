"""A worker on a device, and SmolLM2 in bfloat16 there: what they say is what transformers computes."""

import logging
import random

import httpx
import pytest
import torch
import transformers
from support.workers import SMOLLM2

from fastchat_worker.engine.selection.executor import select
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.model import loader
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import locate

NEW = 12


@pytest.fixture
def worker(device, tiny, start_worker, tiny_folder):
    """One on the device."""
    if device == "cpu":
        return tiny
    options = ("--device", device, "--tensor-parallel-size", "1", "--cuda-graphs", "on")
    return start_worker("--model-name", "tiny", "--model-path", str(tiny_folder), *options).wait_ready()


@torch.inference_mode()
def test_each_token_is_the_likeliest_that_transformers_finds_as_far_as_bfloat16_can_tell(
    device, run_engine, tmp_path, caplog
):
    caplog.set_level(logging.WARNING)
    settings = Settings(model_name="m", model_path=SMOLLM2, device=device, dtype="bfloat16")
    loaded = loader.load(locate(SMOLLM2, tmp_path, print), settings, print)
    model = loaded.model
    runner = select(model, "torch", "none")
    if device == "cuda":
        runner.record_decode()
    prompts = [loaded.tokens(text, "") for text in ("The capital of France is", "def add(a, b):\n    ")]
    made = run_engine(None, executor=lambda _: runner).generate([Sequence(prompt, NEW) for prompt in prompts])
    assert "without CUDA graphs" not in caplog.text
    model.set_attn_implementation("sdpa")
    for prompt, tokens in zip(prompts, made, strict=True):
        logits = model(torch.tensor([prompt + tokens], device=device)).logits[0, len(prompt) - 1 : -1].float()
        best = logits.max(-1).values
        chosen = logits.gather(1, torch.tensor(tokens, device=device)[:, None])[:, 0]
        assert (best - chosen <= 0.02 * best.abs()).all()  # a few steps of bfloat16


def test_a_worker_says_what_transformers_says_on_the_cpu(worker, tiny_folder, generate_alone):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_folder)
    chance = random.Random(5)
    prompts = [[chance.randrange(2, 258) for _ in range(length)] for length in (3, 40, 150)]
    body = {"model": "tiny", "prompt": prompts, "max_tokens": 30, "temperature": 0, "ignore_eos": True}
    answer = httpx.post(f"{worker.url}/v1/completions", json=body, timeout=600).json()
    expected = [tokenizer.decode(generate_alone(model, prompt, 30), skip_special_tokens=True) for prompt in prompts]
    assert [choice["text"] for choice in answer["choices"]] == expected
    said = worker.log.read_text()
    assert "room for 16 sequences of" in said
    assert "without CUDA graphs" not in said
