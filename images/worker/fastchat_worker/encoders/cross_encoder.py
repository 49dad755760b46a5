"""Cross-encoders: models that read two texts together and say how well they match."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastchat_worker.encoders.encoder import REMEDY, Name, checked, cut_to
from fastchat_worker.encoders.features import Features, max_len_of, vocabulary_of
from fastchat_worker.encoders.text import Text
from fastchat_worker.errors import LoadError, TooLongError
from fastchat_worker.model.limits import check_limit
from fastchat_worker.model.measure import Measure, longest_token
from fastchat_worker.model.sentence_model import load_cross_encoder
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles
from fastchat_worker.telemetry.progress import Report

_UNLIMITED = 512
"""Tokens of a pair where neither the model nor an option bounds it."""


class CrossEncoder:
    """A cross-encoder as sentence-transformers runs it: its scores are those of `CrossEncoder.predict`."""

    def __init__(self, files: ModelFiles, settings: Settings, report: Report) -> None:
        report("loading the weights")
        self._model: Any = load_cross_encoder(files, settings)
        if self._model.num_labels != 1:
            raise LoadError(f"--task rerank takes models with one score; this one gives {self._model.num_labels}")
        self._features = Features(self._model)
        module = self._features.module(None)
        limit = max_len_of(module, settings.max_model_len or _UNLIMITED)
        check_limit(settings.max_model_len, limit, settings.model_path)
        self.max_len = min(limit, settings.max_model_len or limit)
        self._vocabulary = vocabulary_of(module)
        self._measure = Measure(longest_token(self.tokenizer), lambda text: len(self.split(text, special=False)))
        self.encode(self.read_pairs([("?", "!")], str, None))  # one that cannot read pairs is found out now

    @property
    def tokenizer(self) -> Any:
        return self._features.tokenizer(None)

    def split(self, text: str, *, special: bool = True) -> list[int]:
        return self._features.split(text, None, special=special)

    def tokens(self, text: str, param: str) -> list[int]:
        self._refuse_hopeless(text, param)
        return self._features.read([text], None, None, truncation=False)[0].tokens

    def read_pairs(self, pairs: Sequence[tuple[str, str]], name: Name, keep: int | None) -> list[Text]:
        most = cut_to(keep, self.max_len)
        if most is None:
            for at, (left, right) in enumerate(pairs):
                self._refuse_hopeless(left + right, name(at))
            options: dict[str, Any] = {"truncation": False}
        else:
            pairs = [(self._beginning(left), self._beginning(right)) for left, right in pairs]
            options = {"truncation": "longest_first", "max_length": most}
        texts = self._features.read(pairs, self._prompt, None, **options)
        limits = {"vocabulary": self._vocabulary, "max_len": self.max_len}
        return [checked(text, name(at), **limits) for at, text in enumerate(texts)]

    def _beginning(self, text: str) -> str:
        return self._measure.beginning(text, self.max_len)

    @property
    def _prompt(self) -> str | None:
        """The model's default one, as `predict` takes it."""
        name: str | None = self._model.default_prompt_name
        return None if name is None else self._model.prompts.get(name)

    def _refuse_hopeless(self, text: str, param: str) -> None:
        least = self._measure.least(text, self.max_len)
        if least is not None:
            raise TooLongError(self.max_len, least, f"{param} has", param, REMEDY)

    @torch.inference_mode()
    def encode(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """[texts]: a score for each pair."""
        scores = self._model.activation_fn(self._features.forward(texts)["scores"].float())
        numbers: NDArray[np.float32] = scores.reshape(len(texts)).cpu().numpy()
        return numbers
