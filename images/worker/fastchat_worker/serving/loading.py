"""From a model's files to a model that serves."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.memory import free_bytes, plan
from fastchat_worker.engine.runner import Runner, UnsupportedModelError
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.errors import LoadError
from fastchat_worker.kv.slots import SlotCache
from fastchat_worker.model import loader, rope
from fastchat_worker.model.end_tokens import Turn, end_of_turn
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.model.linear import pack_linears
from fastchat_worker.serving.batcher import Batcher
from fastchat_worker.serving.embedder import Embedder, LanguageModelEmbedder, SentenceEmbedder
from fastchat_worker.serving.models import Generator, ServedModel
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles
from fastchat_worker.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

Report = Callable[[str], None]


def load(files: ModelFiles, settings: Settings, metrics: Metrics, report: Report) -> ServedModel:
    """The model of these files, whose threads run from here on; `report` hears what goes on.

    Raises: LoadError, which says what to change, and what the libraries raise for a broken model.
    """
    if settings.task == "embed":
        embedder = SentenceEmbedder(files, settings, report)
        return ServedModel(embedder, _batcher(embedder, settings, metrics))
    model = loader.load(files, settings, report)
    model.end_tokens |= end_of_turn(model.tokenizer, partial(_rendered, model.tokenizer))
    return _serve(model, settings, metrics, report)


def _rendered(tokenizer: Any, turns: Sequence[Turn]) -> str:
    return str(tokenizer.apply_chat_template(turns, tokenize=False))


def _serve(model: LanguageModel, settings: Settings, metrics: Metrics, report: Report) -> ServedModel:
    report("making room for the cache")
    try:
        pack_linears(model.model)
        runner = Runner(model.model)
    except UnsupportedModelError as error:
        raise LoadError(str(error)) from None
    room = plan(
        free_bytes(runner.device),
        runner.token_bytes,
        model.max_len,
        settings.max_model_len,
        settings.max_batch_size,
    )
    logger.info("room for %d sequences of %d tokens", room.slots, room.max_len)
    model.max_len = room.max_len
    rope.settle(model.model, room.max_len)
    runner.open_cache(room.slots, room.max_len)
    scheduler = Scheduler(SlotCache(room.slots), settings.max_batched_tokens, settings.max_queue)
    engine = Engine(runner, scheduler, settings.max_sequences_per_request)
    engine.start()
    metrics.watch_engine(engine, room.max_len)
    embedder = LanguageModelEmbedder(model, engine)
    return ServedModel(embedder, _batcher(embedder, settings, metrics), Generator(model, engine))


def _batcher(embedder: Embedder, settings: Settings, metrics: Metrics) -> Batcher:
    batcher = Batcher(embedder, max(settings.max_batched_tokens, embedder.max_len), 8 * settings.max_queue)
    metrics.watch("embeddings_waiting", "Texts that wait to be embedded.", lambda: batcher.waiting)
    return batcher
