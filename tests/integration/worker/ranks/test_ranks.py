"""A model that is spread over two ranks: the same numbers and texts as of one process, and an end of both together."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import torch
import transformers
from support.eventually import PATIENCE_SECONDS, eventually
from support.models.devices import DEVICES, need

from fastchat_worker.engine.runner import Runner

SPREAD = Path(__file__).parent / "spread.py"
TEXT = list(range(1, 40))
SIZES = {
    "vocab_size": 258,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
FAMILIES = {
    "llama": transformers.LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "mistral": transformers.MistralConfig(**GROUPED, sliding_window=9),
    "qwen2": transformers.Qwen2Config(**GROUPED),
    "qwen3": transformers.Qwen3Config(**GROUPED, head_dim=16),
    "phi3": transformers.Phi3Config(**GROUPED),
    "gemma2": transformers.Gemma2Config(**GROUPED, head_dim=16),
    "granite": transformers.GraniteConfig(**GROUPED),
    "mixtral": transformers.MixtralConfig(**GROUPED, num_local_experts=4),
    "gpt-oss": transformers.GptOssConfig(**GROUPED, head_dim=16, num_local_experts=4),
    "gpt-neox": transformers.GPTNeoXConfig(**SIZES),
}


@pytest.fixture(scope="module")
def spread(tmp_path_factory, tiny_folder):
    """A folder for each family, with the logits that rank 0 of two had."""
    folder = tmp_path_factory.mktemp("families")
    for name, config in FAMILIES.items():
        shutil.copytree(tiny_folder, folder / name, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder / name)
    command = [sys.executable, SPREAD]
    folders = [folder / name for name in FAMILIES]
    ranks = [subprocess.Popen([*command, str(rank), "2", folder / "store", *folders]) for rank in range(2)]
    assert [rank.wait(10 * PATIENCE_SECONDS) for rank in ranks] == [0, 0]
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_two_ranks_have_the_logits_of_one_process(spread, name):
    model = transformers.AutoModelForCausalLM.from_pretrained(spread / name, dtype=torch.float32).eval()
    alone = Runner(model).logits(TEXT)
    assert (torch.load(spread / name / "logits.pt") - alone).norm() < 1e-5 * alone.norm()


@pytest.fixture
def start(start_worker, tiny_folder):
    """Starts a worker of two processes."""

    def start(folder=tiny_folder, device="cpu"):
        options = ("--model-path", str(folder), "--device", device, "--tensor-parallel-size", "2")
        return start_worker("--model-name", "tiny", *options, fresh=True)

    return start


@pytest.mark.parametrize("device", DEVICES)
def test_two_ranks_answer_as_one_process_does_and_where_one_is_lost_the_worker_ends_and_says_which(start, tiny, device):
    ranks = start(device=need(device, 2)).wait_ready()
    requests = [
        {"model": "tiny", "prompt": f"{number} is", "max_tokens": 24, "seed": number, "temperature": number % 2}
        for number in range(8)
    ]

    def texts(url):
        with httpx.Client(base_url=url, timeout=600) as client, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda each: client.post("/v1/completions", json=each).json(), requests))
        return [answer["choices"][0]["text"] for answer in answers]

    assert texts(ranks.url) == texts(tiny.url)
    vectors = [
        httpx.post(f"{url}/v1/embeddings", json={"model": "tiny", "input": "a text"}, timeout=60).json()
        for url in (ranks.url, tiny.url)
    ]
    first, second = (torch.tensor(each["data"][0]["embedding"]) for each in vectors)
    assert torch.allclose(first, second, atol=1e-5)

    (rank,) = _children(ranks.process.pid)
    os.kill(rank, signal.SIGKILL)
    assert ranks.process.wait(PATIENCE_SECONDS) == 1
    *_, last = ranks.log.read_text().splitlines()
    assert last == "fastchat-worker: rank 1 of the model ended by signal 9"


def test_the_ranks_of_a_worker_that_is_killed_end_too(start):
    worker = start()
    eventually(lambda: _children(worker.process.pid))
    (rank,) = _children(worker.process.pid)
    worker.process.send_signal(signal.SIGKILL)
    eventually(lambda: not _is_running(rank))


def test_why_a_model_cannot_be_loaded_is_said_once(start, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    worker = start(tmp_path)
    assert worker.process.wait(10 * PATIENCE_SECONDS) == 1
    said = worker.log.read_text()
    assert "Traceback" not in said
    assert "model.safetensors" in said.splitlines()[-1]


def _children(pid):
    """Processes that any thread of this one started."""
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1][0] != "Z"
    except OSError:
        return False
