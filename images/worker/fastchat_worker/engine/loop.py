"""The loop that turns prompts into tokens: schedule, execute, hand out; over and over on one thread."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Ordered
from concurrent.futures import Future
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastchat._runtime.histogram import Histogram
from fastchat_worker.engine.breakage import PROBE, why_broken
from fastchat_worker.engine.executor import Executor, ModelOutput
from fastchat_worker.engine.packing import pack
from fastchat_worker.engine.scheduler import Batch, QueueFullError, Scheduler
from fastchat_worker.engine.sequence import Finish, Phase, Sequence
from fastchat_worker.engine.turns import has_room
from fastchat_worker.errors import first_line
from fastchat_worker.kv.cache import KVCache
from fastchat_worker.sampling.score import Score

logger = logging.getLogger(__name__)
Chosen = tuple[int | None, Score | None]
_SECONDS = (0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 3)
_SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Engine:
    """Continuous batching: sequences join and leave between any two steps.

    Every method may be called from any thread. The loop knows tokens and no tensors: those are the executor's.

    A sequence ends with `error`, and alone, where its prompt has a token that the model does not know, where its
    logits are not finite, and where a step raises with it alone. A step of several that raises is tried again without
    the one whose fault it is; the others do not notice. Where after that a step of our own raises too, the executor is
    broken: every sequence ends, with `broken` where it had no part in a step.
    """

    def __init__(self, executor: Executor, scheduler: Scheduler, max_per_request: int | None = None) -> None:
        self._executor = executor
        self._scheduler = scheduler
        self.max_per_request = min(max_per_request or scheduler.slots, scheduler.max_waiting)
        """Sequences that one request may have; without a limit of its own, as many as run at once."""
        self._arrived: deque[Sequence] = deque()
        self._cancelled: deque[Sequence] = deque()
        self._texts: deque[tuple[Ordered[Ordered[int]], Future[NDArray[np.float32]]]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._ending: Literal["aborted", "broken"] | None = None
        self.broken = ""
        """Why no step can work any more; empty as long as one can."""
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self.tokens_read = 0  # of prompts
        self.tokens_generated = 0
        self.tokens_drafted = self.tokens_accepted = 0
        self.step_seconds = Histogram(_SECONDS)
        self.step_sequences = Histogram(_SEQUENCES)
        self.token_seconds = Histogram(_SECONDS)  # from a sequence's token to its next
        self._stepped = 0.0
        self._step_began = 0.0  # of the one under way; 0: none is

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the step under way; what is unfinished stays so."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    @property
    def vocabulary(self) -> int:
        """The model knows the token ids below this."""
        return self._executor.vocabulary

    @property
    def slots(self) -> int:
        """Sequences that can run at once."""
        return self._scheduler.slots

    @property
    def running(self) -> int:
        return len(self._scheduler.running)

    @property
    def cached(self) -> int:
        """Tokens whose keys and values are in the cache."""
        return sum(sequence.cached for sequence in tuple(self._scheduler.running))

    @property
    def cache(self) -> KVCache[Sequence]:
        """Who has room, and what was found in it of prompts; to be read only."""
        return self._scheduler.cache

    @property
    def waiting(self) -> int:
        return len(self._arrived) + len(self._scheduler.waiting) + len(self._scheduler.interrupted)

    def step_seconds_so_far(self, now: float) -> float:
        """How long the step under way has taken, on time.monotonic's clock; 0 where none is."""
        began = self._step_began
        return now - began if began else 0.0

    def submit(self, sequences: list[Sequence], key: str = "") -> None:
        """Queues the sequences of one request, all or none.

        `key`: whose they are. Where that is known no key fills the queue alone.
        Raises: QueueFullError when too many wait already.
        """
        arrived = list(self._arrived)
        of_key = self._scheduler.waiting.count(key) + sum(each.key == key for each in arrived) if key else 0
        if not has_room(self._scheduler.max_waiting, self.waiting, of_key, len(sequences)):
            raise QueueFullError
        request = object()
        for sequence in sequences:
            sequence.key, sequence.request = key, request
        self._arrived.extend(sequences)
        self._wake.set()

    def cancel(self, sequences: list[Sequence]) -> None:
        """Takes the sequences out before the next step."""
        self._cancelled.extend(sequences)
        self._wake.set()

    def abort(self) -> None:
        """Ends all sequences before the next step, and those that still come."""
        self._ending = "aborted"
        self._wake.set()

    def embed(self, texts: Ordered[Ordered[int]]) -> Future[NDArray[np.float32]]:
        """[texts, hidden]: `Executor.embed` between two steps; one call a step, so that neither starves the other."""
        future: Future[NDArray[np.float32]] = Future()
        self._texts.append((texts, future))
        self._wake.set()
        return future

    def _loop(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        except Exception as error:  # a defect of the loop: nothing would ever be generated again
            logger.exception("the engine's loop failed")
            self._break(f"the engine failed: {first_line(error)}")
            self._end_all()

    def _turn(self) -> None:
        busy = self._step()
        if self._texts:
            self._embed(*self._texts.popleft())
        elif not busy:
            self._wake.wait()
            self._wake.clear()

    def _step(self) -> bool:
        """One step over whatever is there; False when nothing was."""
        self._admit()
        batch = self._scheduler.schedule()
        if batch is None:
            return False
        try:
            self._run(batch)
        except Exception:  # whatever the model raises, out of memory included
            logger.exception("a step of %d sequences failed", len(batch.sequences))
            if culprit := self._scheduler.failed(batch):
                _end([culprit], "error")
                self._examine(lambda: self._executor.execute(PROBE))
        else:
            self._scheduler.worked()
        self._scheduler.retire()
        return True

    def _admit(self) -> None:
        """Takes in what came since the last step, and takes out what shall go."""
        while self._arrived:
            self._add(self._arrived.popleft())
        while self._cancelled:
            _end([self._cancelled.popleft()], "cancelled")
        if self._ending:
            self._end_all()
        self._scheduler.retire()

    def _examine(self, work: Callable[[], object]) -> None:
        """Finds out, after a failure, whether anything can work; `work` is what no request has a part in."""
        if not self.broken and (reason := why_broken(work)):
            self._break(f"the model cannot compute any more: {reason}")

    def _break(self, reason: str) -> None:
        self.broken, self._ending = reason, "broken"

    def _end_all(self) -> None:
        scheduler, ending = self._scheduler, self._ending or "aborted"
        # One of those that ran may be what breaks a model: they are not to be tried on the next worker.
        _end([*scheduler.running, *scheduler.interrupted], "error" if self.broken else ending)
        _end([*scheduler.waiting, *self._arrived], ending)

    def _add(self, sequence: Sequence) -> None:
        prompt, vocabulary = sequence.prompt, self._executor.vocabulary
        if not prompt or min(prompt) < 0 or max(prompt) >= vocabulary:
            logger.error("a prompt is empty or has a token that is none of the model's %d", vocabulary)
            _end([sequence], "error")
        elif sequence.phase is Phase.WAITING:  # else it was cancelled
            self._scheduler.add(sequence)

    def _run(self, batch: Batch) -> None:
        began = self._step_began = time.monotonic()
        try:
            output = self._executor.execute(pack(batch))
        finally:
            self._step_began = 0.0
        self._measure(batch, began, time.monotonic())
        _add_prompt_scores(batch, output)
        chosen = zip(output.tokens, output.scores or (None,) * len(output.tokens), strict=True)
        for sequence, (token, score) in zip(batch.sampled, islice(chosen, len(batch.sampled)), strict=True):
            if sequence.phase is not Phase.FINISHED:  # else its prompt's scores are no numbers
                _append(sequence, token, score)
        for sequence, draft in zip(batch.decode, batch.drafts, strict=False):
            self._check(sequence, draft, list(islice(chosen, len(draft))))

    def _check(self, sequence: Sequence, draft: Ordered[int], chosen: Ordered[Chosen]) -> None:
        """Appends what was chosen after each token of a draft, as long as that token is what was chosen before it."""
        self.tokens_drafted += len(draft)
        for expected, (token, score) in zip(draft, chosen, strict=True):
            if sequence.phase is Phase.FINISHED or sequence.tokens[-1] != expected:
                return
            self._scheduler.cache.append(sequence, 1)  # its keys and values are there
            _append(sequence, token, score)
            self.tokens_generated += 1
            self.tokens_accepted += 1

    def _measure(self, batch: Batch, began: float, ended: float) -> None:
        self.tokens_read += sum(chunk.length for chunk in batch.chunks)
        self.tokens_generated += len(batch.sampled)
        self.step_seconds.add(ended - began)
        self.step_sequences.add(len(batch.sequences))
        if batch.decode:  # each of them had its last token in the step before
            self.token_seconds.add(ended - self._stepped, len(batch.decode))
        self._stepped = ended
        for chunk in batch.chunks:
            sequence = chunk.sequence
            sequence.prefill_at = sequence.prefill_at or began
            if chunk.completes_prompt:
                sequence.decode_at = sequence.decode_at or ended

    def _embed(self, texts: Ordered[Ordered[int]], future: Future[NDArray[np.float32]]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(self._executor.embed(texts))
        except Exception as error:  # noqa: BLE001  # it belongs to whoever called
            future.set_exception(error)
            self._examine(lambda: self._executor.embed([[0]]))


def _add_prompt_scores(batch: Batch, output: ModelOutput) -> None:
    """Hands out what the step says of prompts, and ends those sequences that are to have no token after theirs."""
    scores = iter(output.prompt_scores)
    for chunk in batch.chunks:
        sequence = chunk.sequence
        new = list(islice(scores, len(chunk.scored)))
        sequence.add_scores(new)
        if not all(score.valid for score in new):
            _end_not_finite(sequence)
        elif chunk.completes_prompt and not chunk.samples:
            _end([sequence], "length")


def _append(sequence: Sequence, token: int | None, score: Score | None) -> None:
    """token: None where the logits are no numbers."""
    if sequence.grammar and sequence.grammar.error:
        _end([sequence], "grammar")
    elif token is None:
        _end_not_finite(sequence)
    else:
        sequence.append(token, score)


def _end_not_finite(sequence: Sequence) -> None:
    logger.error("the model gave a sequence no finite logits")
    _end([sequence], "error")


def _end(sequences: Ordered[Sequence], finish: Finish) -> None:
    """Ends those that have not finished."""
    for sequence in sequences:
        if sequence.phase is not Phase.FINISHED:
            sequence.end(finish)
