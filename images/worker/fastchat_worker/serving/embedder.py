"""Models that turn texts into vectors."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fastchat_worker.engine.loop import Engine
from fastchat_worker.errors import TooLongError
from fastchat_worker.model.language_model import LanguageModel, check_tokens
from fastchat_worker.model.limits import check_limit
from fastchat_worker.model.measure import Measure, longest_token
from fastchat_worker.model.sentence_model import load_sentence_model
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

Vector = NDArray[np.float32]
REMEDY = "; 'truncate_prompt_tokens': -1 would cut it"
"""Ends the error about an input that is too long."""


class Embedder(Protocol):
    """A model that embeds texts of up to `max_len` tokens."""

    max_len: int
    dimensions: int

    def tokens(self, text: str | Sequence[int], param: str, keep: int | None = None) -> list[int]:
        """The tokens of a text, those that the model adds included, and with `keep` at most so many of them.

        A text that is tokens already is taken as it is.
        Raises: without `keep` TooLongError for a text that cannot fit, which is not split to its end; RequestError 400
        for a token that the model does not know.
        """

    def encode(self, texts: list[list[int]]) -> NDArray[np.float32]:
        """[texts, dimensions], of length one."""


class LanguageModelEmbedder:
    """The mean of a language model's last hidden states, computed on the engine's thread between two steps."""

    def __init__(self, language_model: LanguageModel, engine: Engine) -> None:
        self._language_model, self._engine = language_model, engine
        self.max_len = language_model.max_len
        self.dimensions: int = language_model.model.config.get_text_config().hidden_size

    def tokens(self, text: str | Sequence[int], param: str, keep: int | None = None) -> list[int]:
        if isinstance(text, str):
            return self._language_model.tokens(text, param, keep)
        return self._language_model.checked(text, param)[:keep]

    def encode(self, texts: list[list[int]]) -> NDArray[np.float32]:
        return self._engine.embed(texts).result()


class SentenceEmbedder:
    """A sentence-transformers model: its own tokens, pooling and normalisation."""

    def __init__(self, files: ModelFiles, settings: Settings, report: Callable[[str], None]) -> None:
        report("loading the weights")
        self._tokenizing = threading.Lock()  # truncation is state of the tokenizer: another thread's text would be cut
        self._model: Any = load_sentence_model(files, settings)
        self._measure = Measure(longest_token(self._model.tokenizer), lambda text: len(self._split(text)))
        limit = self._model.max_seq_length or settings.max_model_len or 512
        check_limit(settings.max_model_len, limit, settings.model_path)
        self.max_len: int = min(limit, settings.max_model_len or limit)
        self.dimensions: int = len(self._model.encode("?", show_progress_bar=False))

    def tokens(self, text: str | Sequence[int], param: str, keep: int | None = None) -> list[int]:
        if not isinstance(text, str):
            return check_tokens(text, len(self._model.tokenizer), param)[:keep]
        if keep is not None:
            return self._split(self._measure.beginning(text, keep), truncation=True, max_length=keep)
        least = self._measure.least(text, self.max_len)
        if least is not None:
            raise TooLongError(self.max_len, least, f"{param} has", param, REMEDY)
        return self._split(text)

    def _split(self, text: str, **options: Any) -> list[int]:
        with self._tokenizing:
            ids: list[int] = self._model.tokenizer(text, **options)["input_ids"]
        return ids

    def encode(self, texts: list[list[int]]) -> NDArray[np.float32]:
        features = self._model.tokenizer.pad({"input_ids": texts}, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            vectors = self._model(dict(features))["sentence_embedding"].float()
        return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()
