"""The loop that turns prompts into tokens: schedule, run, sample, hand out; over and over on one thread."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import torch

from fastchat._runtime.histogram import Histogram
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.scheduler import Batch, QueueFullError, Scheduler
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.engine.turns import has_room
from fastchat_worker.sampling.sampler import sample

log = logging.getLogger(__name__)
_SECONDS = (0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 3)
_SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Engine:
    """Continuous batching: sequences join and leave between any two steps.

    Every method may be called from any thread. A step that fails ends the sequences that were part of it with
    `error`; the engine goes on with the next.
    """

    def __init__(self, runner: Runner, scheduler: Scheduler, max_per_request: int | None = None) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self.max_per_request = min(max_per_request or scheduler.slots, scheduler.max_waiting)
        """Sequences that one request may have: as many as run at once, where nothing else is asked for."""
        self._arrived: deque[Sequence] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._aborting = False
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self.tokens_read = 0  # of prompts
        self.tokens_generated = 0
        self.step_seconds = Histogram(_SECONDS)
        self.step_sequences = Histogram(_SEQUENCES)
        self.token_seconds = Histogram(_SECONDS)  # from a sequence's token to its next
        self._stepped = 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the step under way; what is unfinished stays so."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

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
    def waiting(self) -> int:
        return len(self._arrived) + len(self._scheduler.waiting)

    def submit(self, sequences: list[Sequence], key: str = "") -> None:
        """Queues the sequences of one request, all or none; QueueFullError when too many wait already.

        `key`: whose they are. Where that is known no key fills the queue alone.
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
        for sequence in sequences:
            sequence.cancelled = True
        self._wake.set()

    def abort(self) -> None:
        """Ends all sequences before the next step, and those that still come."""
        self._aborting = True
        self._wake.set()

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Runs a function of the model between two steps; one a step, so that neither starves the other."""
        future: Future[Any] = Future()
        self._calls.append((function, future))
        self._wake.set()
        return future

    def _loop(self) -> None:
        while not self._stopping:
            busy = self._step()
            if self._calls:
                _answer(*self._calls.popleft())
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
        except Exception:  # whatever the model raises, out of memory included, ends this batch only
            log.exception("a step of %d sequences failed", len(batch.decode) + len(batch.chunks))
            for sequence in [*batch.decode, *(chunk.sequence for chunk in batch.chunks)]:
                if not sequence.finish:
                    sequence.end("error")
        self._retire()
        return True

    def _admit(self) -> None:
        while self._arrived:
            self._scheduler.add(self._arrived.popleft())
        for sequence in [*self._scheduler.running, *self._scheduler.waiting]:
            if sequence.cancelled or self._aborting:
                sequence.end("cancelled" if sequence.cancelled else "aborted")
        self._retire()

    @torch.inference_mode()
    def _run(self, batch: Batch) -> None:
        began = time.monotonic()
        logits = self._runner.step(batch)
        sampled = batch.sampled
        tokens = sample(logits, [sequence.choice for sequence in sampled])
        self._measure(batch, began, time.monotonic())
        for sequence, token in zip(sampled, tokens, strict=True):
            if token is None:
                log.error("the model gave a sequence no finite logits")
                sequence.end("error")
            else:
                sequence.append(token)

    def _measure(self, batch: Batch, began: float, ended: float) -> None:
        self.tokens_read += sum(chunk.length for chunk in batch.chunks)
        self.tokens_generated += len(batch.sampled)
        self.step_seconds.add(ended - began)
        self.step_sequences.add(len(batch.decode) + len(batch.chunks))
        if batch.decode:  # each of them had its last token in the step before
            self.token_seconds.add(ended - self._stepped, len(batch.decode))
        self._stepped = ended
        for chunk in batch.chunks:
            if not chunk.start:
                chunk.sequence.prefill_at = began
            if chunk.completes_prompt:
                chunk.sequence.decode_at = ended

    def _retire(self) -> None:
        for move in self._scheduler.retire():
            self._runner.move(move)


def _answer(function: Callable[[], Any], future: "Future[Any]") -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except Exception as error:  # noqa: BLE001  # it belongs to whoever called
        future.set_exception(error)
