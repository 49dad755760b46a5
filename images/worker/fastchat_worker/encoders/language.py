"""A language model as an embedder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastchat_worker.encoders.dimensions import Dimensions, served_by
from fastchat_worker.encoders.encoder import Name, checked, cut_to
from fastchat_worker.encoders.text import PLAIN, Reading, Text
from fastchat_worker.engine.loop import Engine
from fastchat_worker.errors import bad_request
from fastchat_worker.model.language_model import LanguageModel


class LanguageModelEmbedder:
    """The mean of a language model's last hidden states, computed on the engine's thread between two steps.

    It has no prompts, and takes queries and documents alike.
    """

    def __init__(self, language_model: LanguageModel, engine: Engine, matryoshka: str = "") -> None:
        self._language_model, self._engine = language_model, engine
        self.max_len = language_model.max_len
        self._vocabulary = engine.vocabulary
        config = language_model.model.config.get_text_config()
        served = served_by(config, truncated=False, option=matryoshka)
        self.dimensions = Dimensions(config.hidden_size, config.hidden_size, served, unit=True)

    @property
    def tokenizer(self) -> Any:
        return self._language_model.tokenizer

    def split(self, text: str, *, special: bool = True) -> list[int]:
        tokens: list[int] = self._language_model.tokenizer(text, add_special_tokens=special)["input_ids"]
        return tokens

    def tokens(self, text: str, param: str) -> list[int]:
        return self._language_model.tokens(text, param)

    def read(self, texts: Sequence[str | Sequence[int]], name: Name, reading: Reading = PLAIN) -> list[Text]:
        if reading.prompt_name is not None:
            raise bad_request("This model has no prompts; leave 'prompt_name' out.", "prompt_name")
        keep = cut_to(reading.keep, self.max_len)
        return [self._read(text, name(at), keep) for at, text in enumerate(texts)]

    def _read(self, text: str | Sequence[int], param: str, keep: int | None) -> Text:
        tokens = self._language_model.tokens(text, param, keep) if isinstance(text, str) else list(text)[:keep]
        return checked(Text(tokens), param, vocabulary=self._vocabulary, max_len=self.max_len)

    def encode(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        return self._engine.embed([text.tokens for text in texts]).result()
