"""Texts of all requests, computed together."""

import logging
import threading
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from fastchat_worker.encoders.encoder import Encoder, Vector
from fastchat_worker.encoders.text import Text
from fastchat_worker.engine.breakage import why_broken
from fastchat_worker.engine.scheduler import QueueFullError
from fastchat_worker.engine.turns import Turns, has_room

logger = logging.getLogger(__name__)


class NotFiniteError(Exception):
    """The model gave a text numbers that are none: infinite, or not a number."""


@dataclass
class _Job:
    text: Text
    future: "Future[Vector]"


def _length(job: _Job) -> int:
    return len(job.text.tokens)


def _padding_is_little(length: int, longest: int) -> bool:
    """Of a text in a batch whose longest one has so many tokens."""
    return longest <= length + length // 4 + 8


class Batcher:
    """Collects the texts of all requests and encodes them together, by turns of key and request.

    budget: tokens of a batch, padding included. max_waiting: texts that may wait.
    A text whose numbers are not finite, or that makes the model fail, ends alone with an error. Where after that a text
    that has worked before fails too, the encoder is broken.
    """

    def __init__(self, encoder: Encoder, budget: int, max_waiting: int) -> None:
        self._encoder = encoder
        self._budget = budget
        self._max_waiting = max_waiting
        self._waiting: Turns[_Job] = Turns()
        self._wake = threading.Condition()
        self.encoded = 0
        self.broken = ""
        """Why no text can be encoded any more; empty as long as one can."""
        self._worked: Text | None = None
        threading.Thread(target=self._loop, name="encoder", daemon=True).start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, texts: Sequence[Text], key: str = "") -> "list[Future[Vector]]":
        """The numbers of one request's texts. Raises: QueueFullError where all of them are too many to wait.

        key: name of the API key, empty where it is not known; one key does not get the whole queue.
        """
        jobs = [_Job(text, Future()) for text in texts]
        request = object()
        with self._wake:
            waiting, of_key = len(self._waiting), self._waiting.count(key) if key else 0
            if waiting and not has_room(self._max_waiting, waiting, of_key, len(jobs)):
                raise QueueFullError
            for job in sorted(jobs, key=_length, reverse=True):
                self._waiting.add(key, request, job)
            self._wake.notify()
        return [job.future for job in jobs]

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting)
                batch = self._take()
            self._encode(batch)
            self.encoded += len(batch)

    def _take(self) -> list[_Job]:
        """The longest text of the request whose turn it is, then by turns those of all that are hardly shorter."""
        lead = self._waiting.next
        longest = _length(lead)
        batch: list[_Job] = []

        def alike(jobs: Sequence[_Job]) -> int | None:
            at = bisect_left(jobs, -longest, key=lambda job: -_length(job))
            fits = at < len(jobs) and _padding_is_little(_length(jobs[at]), longest)
            return at if fits and jobs[at].text.kind == lead.text.kind else None

        for job in self._waiting.take(alike):
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
            if longest * (len(batch) + 1) > self._budget:
                break
        return batch

    def _encode(self, batch: Sequence[_Job]) -> None:
        """Sets the result of each job. After a failure each is tried by itself, to find whose it is."""
        if not batch:
            return
        try:
            rows = self._encoder.encode([job.text for job in batch])
        except Exception as error:  # noqa: BLE001  # whatever the model raises belongs to the text that makes it
            self._failed(batch, error)
            return
        self._worked = self._worked or batch[0].text
        for job, row in zip(batch, rows, strict=True):
            if np.isfinite(row).all():
                job.future.set_result(row)
            else:
                job.future.set_exception(NotFiniteError())

    def _failed(self, batch: Sequence[_Job], error: Exception) -> None:
        if len(batch) > 1 and not self.broken:
            logger.warning("%d texts failed together, now each is tried by itself: %s", len(batch), error)
            for job in batch:
                self._encode([job])
            return
        for job in batch:
            job.future.set_exception(error)
        if (known := self._worked) and not self.broken:
            reason = why_broken(lambda: self._encoder.encode([known]))
            self.broken = reason and f"the model cannot compute any more: {reason}"
