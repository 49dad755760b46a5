"""Runs a model that is spread over several ranks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastchat_worker.engine.executor import ModelInput, ModelOutput
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.sequence import Sequence as TokenSequence
from fastchat_worker.errors import LoadError
from fastchat_worker.kv.slots import SlotCache
from fastchat_worker.ranks.group import RankGroup


class ParallelRunner:
    """An `Executor` that does on every rank what it does on rank 0, whose `runner` it is given.

    Every rank ends a step with all logits; rank 0 alone chooses the tokens.
    """

    def __init__(self, runner: Runner, group: RankGroup) -> None:
        self._runner = runner
        self._group = group
        self.device = runner.device
        self.vocabulary = runner.vocabulary

    @property
    def token_bytes(self) -> int:
        """Cache bytes that one token of one sequence takes on each rank."""
        return self._runner.token_bytes

    def free_bytes(self) -> int:
        """Memory that each rank can still have: of its own GPU, or its part of the machine's."""
        own, others = self._group.together("free_bytes", (), self._runner.free_bytes)
        least: int = min(own, *others)
        return least // self._group.size if self.device.type == "cpu" else least

    def open_cache(self, slots: int, max_len: int, kept_tokens: int = 0) -> SlotCache[TokenSequence]:
        """Takes the memory for so many sequences of so many tokens. Returns who has which part of it, on every rank.

        kept_tokens: of sequences that have ended, at most.
        """
        runner = self._runner
        own = self._group.together(
            "open_cache", (slots, max_len), lambda: runner.open_cache(slots, max_len, kept_tokens)
        )
        return own[0]

    def execute(self, step: ModelInput) -> ModelOutput:
        plain = replace(step, choices=())
        return self._group.together("compute", (plain,), lambda: self._runner.execute(step))[0]

    def embed(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return self._group.together("embed", (texts,), lambda: self._runner.embed(texts))[0]

    def logits(self, text: Sequence[int]) -> Tensor:
        """[tokens, vocabulary]: the logits after each token of a text, in float32. The cache has no part in it."""
        return self._group.together("logits", (text,), lambda: self._runner.logits(text))[0]

    def add_adapter(self, key: str, name: str, folder: Path) -> None:  # noqa: ARG002  # an executor's
        """Raises: LoadError."""
        raise LoadError(f"adapter {name}: a model that is spread over ranks has no adapters")

    def remove_adapter(self, key: str) -> None:
        """There is none."""
