"""The loop that turns prompts into tokens: schedule, run, sample, hand out; over and over on one thread."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import torch

from fastchat_worker.runner import Runner
from fastchat_worker.sampler import sample
from fastchat_worker.scheduler import Batch, QueueFullError, Scheduler
from fastchat_worker.sequence import Sequence

log = logging.getLogger(__name__)


class Engine:
    """Continuous batching: sequences join and leave between any two steps.

    Every method may be called from any thread. A step that fails ends the sequences that were part of it with
    `error`; the engine goes on with the next.
    """

    def __init__(self, runner: Runner, scheduler: Scheduler) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._arrived: deque[Sequence] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._aborting = False
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self.generated = 0
        self.steps = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the step under way; what is unfinished stays so."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    @property
    def max_waiting(self) -> int:
        """Sequences that may wait, and so the most that one request can ask for."""
        return self._scheduler.max_waiting

    @property
    def running(self) -> int:
        return len(self._scheduler.running)

    @property
    def waiting(self) -> int:
        return len(self._arrived) + len(self._scheduler.waiting)

    def submit(self, sequences: list[Sequence]) -> None:
        """Queues the sequences of one request, all or none; QueueFullError when too many wait already."""
        if self.waiting + len(sequences) > self.max_waiting:
            raise QueueFullError
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
        logits = self._runner.step(batch)
        sampled = batch.sampled
        self.steps += 1
        self.generated += len(sampled)
        for sequence, token in zip(sampled, sample(logits, sampled), strict=True):
            sequence.append(token)

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
