"""The state of a worker: loading, ready or draining, and what it serves."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fastchat.api import ModelCard, Task, now
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.memory import free_bytes, plan
from fastchat_worker.engine.runner import Runner, UnsupportedModelError
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.errors import LoadError, bad_request, model_not_found, not_ready
from fastchat_worker.kv.cache import Cache, bytes_per_token
from fastchat_worker.model.language_model import LanguageModel, load
from fastchat_worker.model.linear import pack_linears
from fastchat_worker.serving.embedder import Batcher, Embedder, LanguageModelEmbedder, SentenceEmbedder
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles, locate
from fastchat_worker.telemetry.metrics import Metrics
from fastchat_worker.telemetry.tracing import Tracer

log = logging.getLogger(__name__)
State = Literal["loading", "ready", "draining"]


@dataclass(frozen=True)
class Loaded:
    """What a loaded model can do; an embedding model has neither language model nor engine."""

    embedder: Embedder
    batcher: Batcher
    language_model: LanguageModel | None = None
    engine: Engine | None = None

    @property
    def max_len(self) -> int:
        return self.embedder.max_len


@dataclass
class Service:
    """One model behind the routes. `in_flight` counts the requests that SIGTERM waits for."""

    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer = field(default_factory=Tracer)
    detail: str = "starting"
    loaded: Loaded | None = None
    in_flight: int = 0
    drain_deadline: float | None = None
    created: int = field(default_factory=now)

    @property
    def state(self) -> State:
        if self.drain_deadline is not None:
            return "draining"
        return "ready" if self.loaded else "loading"

    @property
    def card(self) -> ModelCard:
        task: Task = "Embed" if self.settings.task == "embed" else "Generate"
        card = ModelCard(id=self.settings.model_name, created=self.created, task=task)
        if self.loaded:
            card.max_model_len = self.loaded.max_len
        return card

    @property
    def occupancy(self) -> str:
        """What answers say in `x-fastchat-load`, for whoever chooses among workers; empty until it is loaded.

        running, waiting, free_slots: sequences that are generated, those that wait for a slot, slots that are free.
        texts: that wait to be embedded.
        """
        if self.loaded is None:
            return ""
        texts, engine = f"texts={self.loaded.batcher.waiting}", self.loaded.engine
        if engine is None:
            return texts
        free = engine.slots - engine.running
        return f"running={engine.running} waiting={engine.waiting} free_slots={free} {texts}"

    def report(self, detail: str) -> None:
        self.detail = detail

    def load(self) -> None:
        """Loads the model; LoadError says why it cannot."""
        files = locate(self.settings.model_path, Path(self.settings.cache_dir), self.report)
        try:
            self.loaded = self._load(files)
        except (LoadError, MemoryError):
            raise
        except Exception:  # transformers raises nearly anything for a broken model
            files.blame(self.report)
            raise
        self.report("ready")

    def demand(self, model: str) -> Loaded:
        """What serves a request for this model; RequestError where it is another's, or not now."""
        if model != self.settings.model_name:
            raise model_not_found(model)
        if self.state != "ready" or self.loaded is None:
            raise not_ready(self.state)
        return self.loaded

    def demand_generation(self, model: str) -> tuple[Engine, LanguageModel]:
        """Like `demand`, for a model that generates text."""
        loaded = self.demand(model)
        if loaded.engine is None or loaded.language_model is None:
            raise bad_request(f"The model '{model}' is served for embeddings only.", "model", "unsupported_task")
        return loaded.engine, loaded.language_model

    def drain(self) -> None:
        """From here on nothing new is served."""
        if self.drain_deadline is None:
            self.drain_deadline = time.monotonic() + self.settings.grace_period_seconds

    def drained(self, now: float) -> bool:
        """Nothing is in flight any more. What still is when the grace period ends is told so and has a second to go."""
        if self.drain_deadline is None:
            return False
        if now >= self.drain_deadline and self.loaded and self.loaded.engine:
            self.loaded.engine.abort()
        return not self.in_flight or now >= self.drain_deadline + 1

    def _load(self, files: ModelFiles) -> Loaded:
        if self.settings.task == "embed":
            embedder = SentenceEmbedder(files, self.settings, self.report)
            return Loaded(embedder, self._batcher(embedder))
        return self._serve(load(files, self.settings, self.report))

    def _serve(self, language_model: LanguageModel) -> Loaded:
        self.report("making room for the cache")
        try:
            pack_linears(language_model.model)
            runner = Runner(language_model.model)
            shapes = runner.layer_shapes()
        except UnsupportedModelError as error:
            raise LoadError(str(error)) from None
        model, settings = language_model.model, self.settings
        room = plan(
            free_bytes(runner.device),
            bytes_per_token(shapes, model.dtype),
            language_model.max_len,
            settings.max_model_len,
            settings.max_batch_size,
        )
        log.info("room for %d sequences of %d tokens", room.slots, room.max_len)
        language_model.max_len = room.max_len
        runner.open_cache(Cache(shapes, room.slots, room.max_len, model.dtype, runner.device))
        scheduler = Scheduler(room.slots, settings.max_batched_tokens, settings.max_queue)
        engine = Engine(runner, scheduler, settings.max_sequences_per_request)
        engine.start()
        self.metrics.watch_engine(engine, room.max_len)
        embedder = LanguageModelEmbedder(language_model, runner, engine)
        return Loaded(embedder, self._batcher(embedder), language_model, engine)

    def _batcher(self, embedder: Embedder) -> Batcher:
        batcher = Batcher(
            embedder, max(self.settings.max_batched_tokens, embedder.max_len), 8 * self.settings.max_queue
        )
        self.metrics.watch("embeddings_waiting", "Texts that wait to be embedded.", lambda: batcher.waiting)
        return batcher
