"""Texts of all requests, embedded together."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from fastchat_worker.engine.scheduler import QueueFullError
from fastchat_worker.engine.turns import Turns, has_room
from fastchat_worker.serving.embedder import Embedder, Vector


@dataclass
class _Job:
    tokens: list[int]
    future: "Future[Vector]"


class Batcher:
    """Collects the texts of all requests and encodes them together, by turns of key and request.

    budget: tokens of a batch, padding included. max_waiting: texts that may wait.
    """

    def __init__(self, embedder: Embedder, budget: int, max_waiting: int) -> None:
        self._embedder = embedder
        self._budget = budget
        self._max_waiting = max_waiting
        self._waiting: Turns[_Job] = Turns()
        self._wake = threading.Condition()
        self.embedded = 0
        threading.Thread(target=self._loop, name="embedder", daemon=True).start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, texts: Sequence[list[int]], key: str = "") -> "list[Future[Vector]]":
        """The vectors of one request's texts. Raises: QueueFullError where all of them together are too many to wait.

        key: name of the API key, empty where it is not known; one key does not get the whole queue.
        """
        jobs = [_Job(tokens, Future()) for tokens in texts]
        request = object()
        with self._wake:
            waiting, of_key = len(self._waiting), self._waiting.count(key) if key else 0
            if waiting and not has_room(self._max_waiting, waiting, of_key, len(jobs)):
                raise QueueFullError
            for job in jobs:
                self._waiting.add(key, request, job)
            self._wake.notify()
        return [job.future for job in jobs]

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting)
                batch = self._take()
            _encode(self._embedder, batch)
            self.embedded += len(batch)

    def _take(self) -> list[_Job]:
        batch: list[_Job] = []
        longest = 0
        while self._waiting:
            longest = max(longest, len(self._waiting.next.tokens))
            if batch and longest * (len(batch) + 1) > self._budget:
                break
            job = self._waiting.pop()
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
        return batch


def _encode(embedder: Embedder, batch: list[_Job]) -> None:
    if not batch:
        return
    try:
        vectors = embedder.encode([job.tokens for job in batch])
    except Exception as error:  # noqa: BLE001  # whatever the model raises belongs to the callers of this batch
        for job in batch:
            job.future.set_exception(error)
        return
    for job, vector in zip(batch, vectors, strict=True):
        job.future.set_result(vector)
