"""Where the engine ends and the model begins: one step goes in as plain values, the tokens come back.

Everything here can be pickled, so that a step can be sent to other processes as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastchat_worker.attention.batch import PackedBatch
from fastchat_worker.kv.edits import Edit
from fastchat_worker.sampling.parameters import Choice
from fastchat_worker.sampling.score import Score


@dataclass(frozen=True, slots=True)
class Scored:
    """A row of the batch after which a token of a prompt stands; its score is wanted, with the `top` likeliest ones."""

    row: int
    token: int
    top: int


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One step of the model.

    edits: what the cache has to do first, in this order. sampled: rows of the batch after which a token is chosen, as
    `choices` says, one for each. scored: rows whose next token is known. adapters: the key of each row's adapter, None
    where it has none; empty where no row has one.
    """

    batch: PackedBatch
    edits: tuple[Edit, ...]
    sampled: tuple[int, ...]
    choices: tuple[Choice, ...]
    scored: tuple[Scored, ...] = ()
    adapters: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """The token chosen for each row of `sampled`; None where the row's logits are not numbers to choose by.

    scores: those of the tokens, None where the choice wants none; empty where no choice does. prompt_scores: one for
    each of `scored`.
    """

    tokens: tuple[int | None, ...]
    scores: tuple[Score | None, ...] = ()
    prompt_scores: tuple[Score, ...] = ()


class Executor(Protocol):
    """Runs the model. It is called from one thread at a time."""

    @property
    def vocabulary(self) -> int:
        """The model knows the token ids below this."""

    def execute(self, step: ModelInput) -> ModelOutput:
        """Runs one step. Raises whatever the model raises; the cache then holds nothing that can be relied on."""

    def embed(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """[texts, hidden]: the mean of each text's last hidden states, of length one. The cache has no part in it."""

    def add_adapter(self, key: str, name: str, folder: Path) -> None:
        """Loads an adapter in PEFT's layout, called `name` in errors; from here on rows can name it by its key.

        It may be called from any thread, as may `remove_adapter`. Raises: LoadError where it does not fit the model.
        """

    def remove_adapter(self, key: str) -> None:
        """Lets go of an adapter that no row names any more."""
