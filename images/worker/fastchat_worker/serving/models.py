"""Which models requests can name, and what serves them."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from fastchat.api import ModelCard, ModelList, Task, now
from fastchat.api.common import Sampling as SamplingRequest
from fastchat_worker.chat.template import ChatTemplate
from fastchat_worker.chat.tools.calling import Calling
from fastchat_worker.encoders.batcher import Batcher
from fastchat_worker.encoders.encoder import Embedder, PairEncoder
from fastchat_worker.engine.adapters import LoadedAdapter
from fastchat_worker.engine.loop import Engine
from fastchat_worker.errors import bad_request, model_not_found, not_ready
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.output.tokens import TokenTexts, texts_of
from fastchat_worker.sampling.grammar import Grammars
from fastchat_worker.serving.adapters import ServedAdapter, ServedAdapters
from fastchat_worker.sources.digest import ModelDigest


@dataclass(frozen=True)
class Generator:
    """A language model, the engine that runs it, and the grammars that its completions can be made to keep.

    chat_template: how it is talked to; without one it only completes.
    """

    language_model: LanguageModel
    engine: Engine
    grammars: Grammars
    chat_template: ChatTemplate | None = None
    calling: Calling | None = None
    """How it is told its tools, and its messages are read; there where a chat template is."""
    shares_prefixes: bool = False
    """What one API key's prompts begin with is not read again for another's."""

    digest: ModelDigest = field(default_factory=ModelDigest)
    """Of what decides what it says."""

    def digest_with(self, adapter: LoadedAdapter | None) -> str:
        """The digest of the model, run with this adapter."""
        return self.digest.with_adapter(adapter.digest if adapter else "")

    def owner(self, key: str, request: SamplingRequest) -> Hashable:
        """Requests of the same owner may find each other's prompts in the cache."""
        return "" if self.shares_prefixes else key, request.cache_salt or ""

    @cached_property
    def texts(self) -> TokenTexts:
        """The texts of its tokens, without those that control the model."""
        return texts_of(self.language_model.tokenizer, skip_special_tokens=True)

    def texts_of(self, request: SamplingRequest) -> TokenTexts:
        """The texts of tokens as a request wants them."""
        return self.whole_texts if request.skip_special_tokens is False else self.texts

    @cached_property
    def whole_texts(self) -> TokenTexts:
        """The texts of all its tokens."""
        return texts_of(self.language_model.tokenizer, skip_special_tokens=False)


@dataclass(frozen=True)
class ServedModel:
    """What a loaded model can do; an embedding model and a cross-encoder have no generator."""

    encoder: Embedder | PairEncoder
    batcher: Batcher
    generator: Generator | None = None
    adapters: ServedAdapters | None = None
    """Those of a model that generates."""

    @property
    def max_len(self) -> int:
        """Longest prompt and completion together, in tokens."""
        return self.encoder.max_len

    @property
    def broken(self) -> str:
        """Why it can compute nothing any more; empty as long as it can."""
        return self.batcher.broken or (self.generator.engine.broken if self.generator else "")

    @property
    def load(self) -> str:
        """How busy it is, in the words of the response header `x-fastchat-load`.

        running, waiting, free_slots: sequences that are generated, those that wait for a slot, slots that are free.
        texts: that wait to be embedded.
        """
        texts = f"texts={self.batcher.waiting}"
        if self.generator is None:
            return texts
        engine = self.generator.engine
        free = engine.slots - engine.running
        return f"running={engine.running} waiting={engine.waiting} free_slots={free} {texts}"


class ServedModels:
    """The models of this worker by the names that requests have for them: one model, and its adapters.

    The model's name is known before it is loaded.
    """

    def __init__(self, name: str, task: Task) -> None:
        self._name = name
        self._task = task
        self._created = now()
        self.loaded: ServedModel | None = None

    @property
    def load(self) -> str:
        """The value of the response header `x-fastchat-load`; empty until the model is loaded."""
        return self.loaded.load if self.loaded else ""

    @property
    def digest(self) -> str:
        """Of what decides what the model says; empty where it is not loaded or does not generate."""
        return self.loaded.generator.digest_with(None) if self.loaded and self.loaded.generator else ""

    def add(self, model: ServedModel) -> None:
        """Serves a model that is loaded now."""
        self.loaded = model

    def find(self, name: str) -> tuple[ServedModel, LoadedAdapter | None]:
        """The model of this name, and the adapter to run it with where the name is an adapter's.

        Raises: RequestError 404 for a name that no model has, 503 where the model is not loaded yet.
        """
        adapter = self._adapter(name)
        if self.loaded is None:
            raise not_ready("loading")
        return self.loaded, adapter.loaded if adapter else None

    def find_generator(self, name: str) -> tuple[Generator, LoadedAdapter | None]:
        """Like `find`, for a model that generates text. Raises: RequestError 400 where it does not."""
        model, adapter = self.find(name)
        if model.generator is None:
            purpose = "embeddings" if self._task == "Embed" else "reranking"
            raise bad_request(f"The model '{name}' is served for {purpose} only.", "model", "unsupported_task")
        return model.generator, adapter

    def find_encoder(self, name: str) -> ServedModel:
        """Like `find`, for a model that embeds or ranks. Raises: RequestError 400 for an adapter: it does neither."""
        model, adapter = self.find(name)
        if adapter:
            message = f"The adapter '{name}' generates text only; embed and rank with '{self._name}'."
            raise bad_request(message, "model", "unsupported_task")
        return model

    def find_embedder(self, name: str) -> tuple[Embedder, Batcher]:
        """Like `find`, for a model that embeds texts. Raises: RequestError 400 where it does not."""
        model = self.find_encoder(name)
        if self._task == "Rerank":
            raise bad_request(f"The model '{name}' is served for reranking only.", "model", "unsupported_task")
        return cast(Embedder, model.encoder), model.batcher

    def cards(self) -> ModelList:
        """The response of `GET /v1/models`."""
        adapters = (self.loaded.adapters if self.loaded else None) or ()
        return ModelList(data=[self.card(name) for name in (self._name, *(adapter.name for adapter in adapters))])

    def card(self, name: str) -> ModelCard:
        """The response of `GET /v1/models/{name}`. Raises: RequestError 404 for a name that no model has."""
        adapter = self._adapter(name)
        card = ModelCard(id=name, created=self._created, task=self._task)
        if adapter:
            card.created, card.root, card.parent = adapter.created, adapter.source, self._name
        if self.loaded:
            card.max_model_len = self.loaded.max_len
        return card

    def _adapter(self, name: str) -> ServedAdapter | None:
        """The adapter of this name; None where it is the model's own. Raises: RequestError 404 for any other."""
        adapters = self.loaded.adapters if self.loaded else None
        found = adapters.get(name) if adapters else None
        if found is None and name != self._name:
            raise model_not_found(name)
        return found
