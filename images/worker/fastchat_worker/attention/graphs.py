"""Steps in which all rows decode, recorded once for each shape and replayed: CUDA graphs.

A step of one token launches some hundred small kernels, which takes the CPU longer than the GPU needs for them; a
recorded one is launched at once. What is recorded has fixed shapes and reads its inputs where they stood at first, so
a step is padded to a bucket of rows and of columns, and its inputs are copied there.
"""

import logging
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastchat_worker.attention.batch import PackedBatch
from fastchat_worker.attention.masks import Masks
from fastchat_worker.attention.slots import SlotStep
from fastchat_worker.kv.tensors import SlotTensors

logger = logging.getLogger(__name__)

ROWS = (1, 2, 4, 8, 16, 32, 64)
SPARE = 1
"""Columns of the cache behind the longest sequence: where padding puts its keys and values, and nobody looks."""
_LEAST_COLUMNS = 64
_TOLERANCE = 0.05
"""Of logits, beside those of the same step before it was recorded."""

Replay = Callable[[], None]
Record = Callable[[Callable[[], None]], Replay]
Forward = Callable[[SlotStep, Tensor, Tensor], Tensor]


def columns(length: int, most: int) -> int:
    """Columns that are read where the longest sequence has so many tokens: at most a fifth and 64 of them in vain.

    So there are four widths up to 256, and from there on four from each power of two to the next.
    """
    unit = max(_LEAST_COLUMNS, 1 << max((length - 1).bit_length() - 3, 0))
    return min(-(-length // unit) * unit, most)


class CUDARecorder:
    """Records what runs on the GPU. All recordings share one pool of memory; none needs what another left there."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, run: Callable[[], None]) -> Replay:
        """What does on the GPU what `run` does, which has run before. Raises: RuntimeError where that cannot be."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may call CUDA meanwhile: one that loads an adapter does.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            run()
        self._pool = graph.pool()
        return graph.replay


class DecodeGraphs:
    """Runs the steps that suit it. `tensors` have `SPARE` columns more than their longest sequence.

    forward: the logits [1, rows, vocabulary] of a step, its tokens and its positions, both [1, rows]. record: makes of
    a function that reads and writes tensors, and returns nothing, one that does the same again.
    """

    def __init__(self, tensors: SlotTensors, slots: int, forward: Forward, record: Record) -> None:
        self._tensors = tensors
        self._rows = sorted({min(rows, slots) for rows in ROWS})
        self._forward = forward
        self._record = record
        self._device = next(iter(tensors.keys.values())).device
        self._inputs = torch.zeros(4, self._rows[-1], dtype=torch.long, device=self._device)
        """Tokens, positions, slots, and the columns where keys and values go."""
        self._logits: Tensor
        self._recorded: dict[tuple[int, int], Replay] = {}
        self._broken = False

    def suits(self, batch: PackedBatch) -> bool:
        """Whether all rows decode, and are no more than the largest bucket has."""
        return not self._broken and not batch.spans and 0 < batch.decode <= self._rows[-1]

    def logits(self, batch: PackedBatch) -> Tensor:
        """[rows, vocabulary]: after each row; valid until the next call."""
        rows = self._rows[bisect_left(self._rows, batch.decode)]
        width = columns(max(batch.positions) + 1, self._tensors.max_len)
        self._fill(batch, rows)
        if replay := self._recorded.get((rows, width)):
            replay()
            return self._logits[: batch.decode]
        made = self._run(rows, width)
        self._add(rows, width, made)
        return made[: batch.decode]

    def _fill(self, batch: PackedBatch, rows: int) -> None:
        """A row of padding is stored in slot 0, behind all others, and sees the first token of its own slot."""
        padding = rows - batch.decode
        values = torch.tensor(
            [
                (*batch.tokens, *[0] * padding),
                (*batch.positions, *[0] * padding),
                (*batch.slots, *[0] * padding),
                (*batch.positions, *[self._tensors.max_len] * padding),
            ]
        )
        self._inputs[:, :rows].copy_(values)

    def _run(self, rows: int, width: int) -> Tensor:
        """[rows, vocabulary]: the logits of a step whose inputs are in place."""
        tokens, positions, slots, places = self._inputs[:, :rows]
        padded = PackedBatch((), (), (), rows, ())
        step = SlotStep(padded, slots, places, positions + 1, width, Masks(self._device))
        return self._forward(step, tokens[None], positions[None])[0]

    def _add(self, rows: int, width: int, expected: Tensor) -> None:
        """Records a step that has run just now; where that cannot be done, none is replayed from here on."""
        if not self._recorded:
            self._logits = expected.new_empty(self._rows[-1], expected.shape[-1])
        logits = self._logits[:rows]

        def run() -> None:
            logits.copy_(self._run(rows, width))

        try:
            replay = self._record(run)
            replay()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._stop(str(error).partition("\n")[0])
            return
        if torch.allclose(logits, expected, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
            self._recorded[rows, width] = replay
        else:
            self._stop("what was recorded computes something else")

    def _stop(self, reason: str) -> None:
        logger.warning("steps run without CUDA graphs from here on: %s", reason)
        self._broken = True
        self._recorded.clear()
