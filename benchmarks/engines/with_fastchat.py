"""This project's engine, with the worker's settings and one of its executors.

python -m engines.with_fastchat MODEL.gguf torch|native none|int8|int4 THREADS
python -m engines.with_fastchat FOLDER DEVICE graphs|plain SEQUENCES

A folder has a configuration, of which a model with random weights is made on the device.
"""

import logging
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import torch
from engines.protocol import serve
from engines.shapes import random_model

from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.selection.executor import select
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.model.loader import load
from fastchat_worker.native.library import kernels
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles


class FastChat:
    """An engine for so many sequences."""

    def __init__(self, runner, *, slots: int = 16, max_len: int = 2048, drafter=None):
        cache = runner.open_cache(slots, max_len)  # with no room for what nobody needs: nothing is reused
        scheduler = Scheduler(cache, budget=Settings.max_batched_tokens, max_waiting=99, drafter=drafter)
        self.engine = Engine(runner, scheduler)
        self.engine.start()

    @contextmanager
    def session(self, prompts, tokens):
        yield lambda: self.generate(prompts, tokens)

    def generate(self, prompts, tokens, grammar=None, adapters=()):
        """grammar: makes one for each sequence. adapters: that neighbours take turns with."""
        done, left = threading.Event(), len(prompts)

        def listener(_token, finish):
            nonlocal left
            left -= finish is not None
            if not left:
                done.set()

        sequences = [
            Sequence(prompt, tokens, listener=listener, loaded=adapters[at % len(adapters)] if adapters else None)
            for at, prompt in enumerate(prompts)
        ]
        for sequence in sequences:
            sequence.grammar = grammar() if grammar else None
        self.engine.submit(sequences)
        done.wait()
        return [sequence.tokens for sequence in sequences]


def loaded(path: Path):
    """A language model as the worker loads it."""
    return load(ModelFiles(path.parent, path.name), Settings(model_name="m", model_path=str(path)), lambda _: None)


def of_file(path: Path, executor: str, quantization: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    runner = select(loaded(path).model, executor, quantization)
    serve(f"{executor}, {kernels()} kernels", FastChat(runner).session)


def of_shape(folder: Path, device: str, graphs: str, sequences: str) -> None:
    runner = Runner(random_model(folder, device))
    if graphs == "graphs":
        runner.record_decode()
    serve(f"torch {torch.__version__}", FastChat(runner, slots=int(sequences)).session)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    path = Path(sys.argv[1])
    (of_shape if path.is_dir() else of_file)(path, *sys.argv[2:])
