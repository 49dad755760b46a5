"""The life of a worker: it loads, is ready, and drains, or its model breaks."""

import gc
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from fastchat.api import Task
from fastchat_worker.chat.choice import check_option
from fastchat_worker.chat.tools import calling
from fastchat_worker.errors import LoadError, not_ready
from fastchat_worker.serving.generation import Generation
from fastchat_worker.serving.loading import load
from fastchat_worker.serving.models import ServedModels
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import locate
from fastchat_worker.telemetry.metrics import Metrics
from fastchat_worker.telemetry.progress import LoadProgress, Transfer, following_transformers
from fastchat_worker.telemetry.start import StartPhases
from fastchat_worker.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

Phase = Literal["loading", "ready", "draining", "broken"]

_LAST_WORDS = 2  # seconds in which those in flight are told that the model is broken

_TASKS: Mapping[str, Task] = {"generate": "Generate", "embed": "Embed", "rerank": "Rerank"}


@dataclass
class Service:
    """What is served, and whether it is served now.

    detail: what goes on while the model is loaded, or why it is broken. in_flight: the requests that SIGTERM waits for.
    fail: ends the process, with the reason as its last line.
    start: how long it took to be ready. progress: how far it is until then.
    """

    settings: Settings
    fail: Callable[[str], None] = logger.critical
    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer = field(default_factory=Tracer)
    phase: Phase = "loading"
    detail: str = "starting"
    in_flight: int = 0
    start: StartPhases = field(default_factory=StartPhases)
    progress: LoadProgress = field(default_factory=LoadProgress)
    models: ServedModels = field(init=False)
    _resumable: set[Generation] = field(default_factory=set)
    _handing_over: bool = False
    _drain_deadline: float = 0
    _broken_deadline: float = 0

    def __post_init__(self) -> None:
        self.models = ServedModels(self.settings.model_name, _TASKS[self.settings.task])
        self.metrics.watch_start(self.start)

    def load(self) -> None:
        """Loads the model. Raises: LoadError, which says what to change, and what the libraries raise."""
        self._report("reading the chat template")
        check_option(self.settings.chat_template)
        calling.check_option(self.settings.tool_call_parser)
        files = locate(self.settings.model_path, Path(self.settings.cache_dir), self._report)
        self.progress.begin_weights(files.weight_bytes)
        try:
            with following_transformers(partial(self._report, "loading the weights")):
                self.models.add(load(files, self.settings, self.metrics, self._report, self.fail))
        except (LoadError, MemoryError):
            raise
        except Exception:  # transformers raises nearly anything for a broken model
            files.explain_failure(self._report)
            raise
        gc.collect()
        gc.freeze()  # the model's objects stay: to look through them again would hold up all requests for 0.1 s
        self._report("ready")
        self.phase = "ready"
        logger.info("ready after %s", self.start)

    def check_serving(self) -> None:
        """Raises: RequestError 503 where a request that has come in is not to be begun any more."""
        if self.refuses:
            raise not_ready(self.phase)

    @property
    def refuses(self) -> bool:
        """No request is begun any more."""
        return self.phase in ("draining", "broken")

    def begin(self, generation: Generation) -> None:
        """A response is made from here on, until `end`."""
        if generation.resumption.offered:
            self._resumable.add(generation)
            if self._handing_over:
                generation.hand_over()

    def end(self, generation: Generation) -> None:
        self._resumable.discard(generation)

    def hand_over(self) -> None:
        """Ends every response that another worker can go on with, and those that still begin. On the event loop."""
        if not self._handing_over:
            logger.info("handing over %d responses", len(self._resumable))
        self._handing_over = True
        self._end_resumable()

    def relieve(self, now: float) -> None:
        """Hands over what waits for a step that does not end. now: on time.monotonic's clock."""
        waiting = sum(not generation.handed_over for generation in self._resumable)
        if waiting and self.phase != "broken" and (reason := self.ailing(now)):
            logger.error("%s: handing over %d responses", reason, waiting)
            self._end_resumable()

    def _end_resumable(self) -> None:
        for generation in self._resumable:
            generation.hand_over()

    def drain(self) -> None:
        """From here on no request is begun."""
        if not self.refuses:
            self.phase = "draining"
            self._drain_deadline = time.monotonic() + self.settings.grace_period_seconds

    def drained(self, now: float) -> bool:
        """Whether the process may end: nothing is in flight any more, or the grace period is over.

        now: on time.monotonic's clock. When the grace period ends, what is still generated is aborted and has a second
        to tell its client so.
        """
        if self.phase != "draining":
            return False
        loaded = self.models.loaded
        if now >= self._drain_deadline or self.settings.handover == "at-once":
            self.hand_over()
        if now >= self._drain_deadline and loaded and loaded.generator:
            loaded.generator.engine.abort()
        return not self.in_flight or now >= self._drain_deadline + 1

    def ailing(self, now: float) -> str:
        """Why nothing can be expected of the process any more; empty as long as something can.

        now: on time.monotonic's clock.
        """
        if self.phase == "broken":
            return self.detail
        generator = self.models.loaded.generator if self.models.loaded else None
        seconds = generator.engine.step_seconds_so_far(now) if generator else 0.0
        most = self.settings.step_timeout_seconds
        return f"a step has not ended in {seconds:.0f} s (--step-timeout-seconds {most})" if seconds > most else ""

    def broken(self, now: float) -> str:
        """Why the process has to end, once its model is broken and those in flight have been told; else empty.

        now: on time.monotonic's clock.
        """
        reason = self.models.loaded.broken if self.models.loaded else ""
        if reason and self.phase != "broken":
            self.phase, self.detail, self._broken_deadline = "broken", reason, now + _LAST_WORDS
        return reason if not self.in_flight or now >= self._broken_deadline else ""

    def _report(self, detail: str, far: Transfer | float | None = None, /) -> None:
        self.detail = detail
        self.start.report(detail)
        self.progress.report(detail, far)
