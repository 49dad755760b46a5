"""lm-eval measures a served model: its log-likelihoods are those of transformers."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from support.clients import environments
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).parent
PAIRS = [
    ("The capital of France is", " Paris"),
    ("The capital of France is", " a banana"),
    ("One, two, three,", " four, five, six"),
    ("Café, naïve and 日本", " 語 are words"),
]


def expected(model, tokenizer, context: str, continuation: str) -> tuple[float, bool]:
    """Log-likelihood of the continuation, and whether each of its tokens is the likeliest."""
    whole = tokenizer(context + continuation)["input_ids"]
    start = len(tokenizer(context)["input_ids"])
    with torch.inference_mode():
        scores = model(torch.tensor([whole])).logits[0].float().log_softmax(-1)
    rows, tokens = scores[start - 1 : -1], torch.tensor(whole[start:])
    return float(rows.gather(1, tokens[:, None]).sum()), bool((rows.argmax(-1) == tokens).all())


def test_log_likelihoods_are_those_of_transformers(client_python, url, small_model, tmp_path) -> None:
    command = [*map(str, (client_python, HERE / "suites/loglikelihood.py", small_model)), json.dumps(PAIRS)]
    env = environments.environ(OPENAI_BASE_URL=f"{url}/v1", OPENAI_API_KEY="none", HF_HOME=str(tmp_path))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-8000:]
    found = json.loads(done.stdout.splitlines()[-1])
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(small_model)
    for pair, (likelihood, is_greedy) in zip(PAIRS, found, strict=True):
        wanted, wanted_greedy = expected(model, tokenizer, *pair)
        assert likelihood == pytest.approx(wanted, abs=1e-3), pair
        assert is_greedy == wanted_greedy, pair
