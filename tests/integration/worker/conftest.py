"""An engine over any transformers model, and workers as processes of their own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import torch
from support.workers import MINILM, SMOLLM2, WorkerProcess

from fastchat_worker.engine.drafts import Drafter
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.sequence import Sequence

MAX_LEN = 512
KEPT = 4096
"""Tokens of ended sequences."""


class Running:
    """An engine on its thread."""

    def __init__(self, runner: Any, slots: int, budget: int, max_waiting: int, drafter: Drafter | None = None) -> None:
        cache = runner.open_cache(slots, MAX_LEN, KEPT)
        self.engine = Engine(runner, Scheduler(cache, budget, max_waiting, drafter))
        self.engine.start()

    def generate(self, sequences: list[Sequence], timeout: float = 120) -> list[list[int]]:
        """The tokens of each sequence, once all have ended."""
        done = threading.Event()
        left = len(sequences)

        def listener(_token, finish):
            nonlocal left
            left -= finish is not None
            if not left:
                done.set()

        for sequence in sequences:
            sequence.listener = listener
        self.engine.submit(sequences)
        assert done.wait(timeout)
        return [sequence.tokens for sequence in sequences]


@pytest.fixture
def run_engine() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(
        model: Any,
        slots: int = 8,
        budget: int = 64,
        max_waiting: int = 99,
        executor: Callable[[Any], Any] = Runner,
        drafter: Drafter | None = None,
    ) -> Running:
        started.append(Running(executor(model), slots, budget, max_waiting, drafter))
        return started[-1]

    yield start
    for running in started:
        running.engine.stop()


@pytest.fixture
def generate_alone() -> Callable[[Any, list[int], int], list[int]]:
    """What transformers generates greedily for a prompt by itself."""

    @torch.inference_mode()
    def generate(model: Any, prompt: list[int], tokens: int) -> list[int]:
        ids = torch.tensor([prompt], device=model.device)
        mask = torch.ones_like(ids)
        output = model.generate(
            ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        return output[0, len(prompt) :].tolist()

    return generate


StartWorker = Callable[..., WorkerProcess]


@contextmanager
def _workers(tmp_path_factory) -> Iterator[StartWorker]:
    """Starts workers and stops them at the end."""
    started: list[WorkerProcess] = []

    def start(*args: str, **kwargs: Any) -> WorkerProcess:
        started.append(WorkerProcess(tmp_path_factory.mktemp("worker"), *args, **kwargs))
        return started[-1]

    try:
        yield start
    finally:
        for worker in started:
            worker.stop()


@pytest.fixture
def start_worker(tmp_path_factory) -> Iterator[StartWorker]:
    with _workers(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory) -> Iterator[WorkerProcess]:
    """A language model behind a worker."""
    with _workers(tmp_path_factory) as start:
        options = ("--max-queue", "64", "--max-sequences-per-request", "64")
        yield start("--model-name", "smollm2", "--model-path", SMOLLM2, *options).wait_ready()


@pytest.fixture(scope="session")
def minilm(tmp_path_factory) -> Iterator[WorkerProcess]:
    """An embedding model behind a worker."""
    with _workers(tmp_path_factory) as start:
        yield start("--model-name", "minilm", "--model-path", MINILM, "--task", "embed").wait_ready()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, tiny_folder) -> Iterator[WorkerProcess]:
    """A model of a few thousand random weights behind a worker."""
    with _workers(tmp_path_factory) as start:
        options = ("--tensor-parallel-size", "1")  # also where there are several GPUs
        yield start("--model-name", "tiny", "--model-path", str(tiny_folder), *options).wait_ready()


@pytest.fixture
def llm(smollm2) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=smollm2.url, timeout=600) as client:
        yield client


@pytest.fixture
def embedder(minilm) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=minilm.url, timeout=600) as client:
        yield client


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A Llama of a few thousand weights in transformers' layout (safetensors), without a chat template."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "</s>": 1} | {character: i for i, character in enumerate(alphabet, 2)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=256, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder
