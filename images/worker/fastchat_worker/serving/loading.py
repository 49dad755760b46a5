"""From a model's files to a model that serves."""

import json
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from fastchat_worker.chat.choice import Known, choose
from fastchat_worker.chat.template import ChatTemplate
from fastchat_worker.chat.tools.calling import find as find_calling
from fastchat_worker.chat.turns import as_parts
from fastchat_worker.encoders.batcher import Batcher
from fastchat_worker.encoders.cross_encoder import CrossEncoder
from fastchat_worker.encoders.encoder import Encoder
from fastchat_worker.encoders.language import LanguageModelEmbedder
from fastchat_worker.encoders.sentence import SentenceEmbedder
from fastchat_worker.engine.adapters import AdapterLoader
from fastchat_worker.engine.drafts import Drafter
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.native_runner import NativeRunner
from fastchat_worker.engine.runner import Runner
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.engine.selection.executor import select
from fastchat_worker.errors import LoadError
from fastchat_worker.kv.memory import Room, plan
from fastchat_worker.model import loader, rope
from fastchat_worker.model.end_tokens import Turn, end_of_turn
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.model.unread.weights import ModelWeights
from fastchat_worker.native.description import MODELS
from fastchat_worker.ranks.group import RankGroup
from fastchat_worker.ranks.parallel_runner import ParallelRunner
from fastchat_worker.ranks.sharding import ranks
from fastchat_worker.sampling.grammar import Grammars
from fastchat_worker.serving.adapters import ServedAdapters
from fastchat_worker.serving.adapters_file import AdaptersFile
from fastchat_worker.serving.models import Generator, ServedModel
from fastchat_worker.settings import Settings
from fastchat_worker.sources.digest import ModelDigest, digest
from fastchat_worker.sources.files import ModelFiles
from fastchat_worker.telemetry.metrics import Metrics
from fastchat_worker.telemetry.progress import Report

logger = logging.getLogger(__name__)
_LAYOUT = "laying out the weights"


def load(
    files: ModelFiles, settings: Settings, metrics: Metrics, report: Report, fail: Callable[[str], None]
) -> ServedModel:
    """The model of these files, whose threads run from here on.

    report: hears what goes on. fail: is told, in one line, why nothing can be served any more; the process has to end.

    Raises: LoadError, which says what to change, and what the libraries raise for a broken model.
    """
    if settings.task == "embed":
        embedder = SentenceEmbedder(files, settings, report)
        return ServedModel(embedder, _batcher(embedder, settings, metrics))
    if settings.task == "rerank":
        ranker = CrossEncoder(files, settings, report)
        return ServedModel(ranker, _batcher(ranker, settings, metrics))
    settings = replace(settings, tensor_parallel_size=ranks(files, settings))
    group = _ranks(files, settings, report, fail)
    model = loader.load(files, settings, report, _unread(settings))
    template = _chat_template(model, files, settings)
    if template:
        model.end_tokens |= end_of_turn(model.tokenizer, partial(_rendered, template))
    return _serve(model, group, template, settings, metrics, report)


def _unread(settings: Settings) -> Collection[str]:
    """Classes of models whose weights are laid out straight from their files."""
    return () if settings.executor == "torch" or settings.tensor_parallel_size > 1 else MODELS


def _ranks(files: ModelFiles, settings: Settings, report: Report, fail: Callable[[str], None]) -> RankGroup | None:
    if settings.tensor_parallel_size == 1:
        return None
    report("starting the ranks")
    return RankGroup(files, settings, fail)


def _rendered(template: ChatTemplate, turns: Sequence[Turn]) -> str:
    content = as_parts if template.wants_parts else str
    return template.write(
        [{**turn, "content": content(turn["content"])} for turn in turns], add_generation_prompt=False
    )


def _chat_template(model: LanguageModel, files: ModelFiles, settings: Settings) -> ChatTemplate | None:
    source = settings.model_path
    names = (Path(source).name, settings.model_name, _published_name(files), source)
    known = Known(names, model.model.config.model_type, files.folder, files.gguf)
    return choose(settings.chat_template, model.tokenizer, known, control_text=settings.control_text == "text")


def _published_name(files: ModelFiles) -> str:
    """What the model's configuration calls it; transformers overwrites that with the folder."""
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads((files.folder / "config.json").read_text()).get("_name_or_path") or "")
    return ""


def _serve(
    model: LanguageModel,
    group: RankGroup | None,
    template: ChatTemplate | None,
    settings: Settings,
    metrics: Metrics,
    report: Report,
) -> ServedModel:
    report(_LAYOUT)
    runner = ParallelRunner(Runner(model.model), group) if group else _executor(model, settings, report)
    if settings.speculative_ngram and not isinstance(runner, NativeRunner):
        raise LoadError("--speculative-ngram is for the native executor, and torch runs this model: leave it out")
    if settings.cuda_graphs == "on":
        _record(runner)
    adapters = _adapters(AdapterLoader(runner), settings, report)
    report("making room for the cache")
    room = plan(
        runner.free_bytes(),
        runner.token_bytes,
        model.max_len,
        settings.max_model_len,
        settings.max_batch_size,
    )
    kept = 0 if settings.prefix_caching == "off" else room.kept_tokens(runner.device.type)
    _tell(room, kept, runner.token_bytes)
    model.max_len = room.max_len
    rope.settle(model.model, room.max_len)
    cache = runner.open_cache(room.slots, room.max_len, kept)
    report("reading the tokens' texts")
    ends = model.end_tokens | (template.stop_tokens if template else frozenset())
    grammars = Grammars(model.tokenizer, model.vocabulary, ends)
    drafter = Drafter(settings.speculative_ngram) if settings.speculative_ngram else None
    scheduler = Scheduler(cache, settings.max_batched_tokens, settings.max_queue, drafter)
    engine = Engine(runner, scheduler, settings.max_sequences_per_request)
    engine.start()
    metrics.watch_engine(engine, room.max_len)
    embedder = LanguageModelEmbedder(model, engine, settings.matryoshka_dimensions)
    calling = find_calling(template, model.tokenizer, settings.tool_call_parser) if template else None
    shared = settings.prefix_caching == "shared"
    found = _digest(model, template, settings)
    generator = Generator(model, engine, grammars, template, calling, shares_prefixes=shared, digest=found)
    return ServedModel(embedder, _batcher(embedder, settings, metrics), generator, adapters)


def _digest(model: LanguageModel, template: ChatTemplate | None, settings: Settings) -> ModelDigest:
    written = template and (
        template.program.source,
        template.program_for_tools.source,
        sorted(template.variables.items()),
    )
    read = template and (template.prefix, template.stop_texts, sorted(template.stop_tokens))
    words = digest(written, read, settings.tool_call_parser, settings.control_text, sorted(model.end_tokens))
    return ModelDigest(model.digest, words, digest(str(model.model.dtype), settings.quantization))


def _adapters(loader: AdapterLoader, settings: Settings, report: Report) -> ServedAdapters:
    adapters = ServedAdapters(loader, settings.model_name, Path(settings.cache_dir))
    for adapter in settings.adapter or ():
        adapters.load(*adapter, report)
    if settings.adapters_file:
        file = AdaptersFile(Path(settings.adapters_file), adapters)
        file.load(report)
        file.follow()
    return adapters


def _tell(room: Room, kept: int, token_bytes: int) -> None:
    size = room.slots * room.max_len * token_bytes / 2**30
    logger.info(
        "room for %d sequences of %d tokens, %.1f GiB; within it up to %d tokens of ended ones stay, %.1f GiB",
        room.slots, room.max_len, size, kept, kept * token_bytes / 2**30,
    )  # fmt: skip


def _executor(model: LanguageModel, settings: Settings, report: Report) -> Runner | NativeRunner:
    taken = partial(report, _LAYOUT)
    executor = select(model.model, settings.executor, settings.quantization, model.weights, model.file, taken)
    model.weights = ModelWeights()  # the file's are read, and need not stay mapped
    return executor


def _record(runner: ParallelRunner | Runner | NativeRunner) -> None:
    if isinstance(runner, Runner) and runner.device.type == "cuda":
        runner.record_decode()
    else:
        logger.warning("--cuda-graphs on has no effect: it is for a model that one GPU has to itself")


def _batcher(encoder: Encoder, settings: Settings, metrics: Metrics) -> Batcher:
    batcher = Batcher(encoder, max(settings.max_batched_tokens, encoder.max_len), 8 * settings.max_queue)
    metrics.watch("embeddings_waiting", "Texts that wait to be embedded or scored.", lambda: batcher.waiting)
    return batcher
