"""Embedding models in sentence-transformers' layout."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from fastchat_worker.encoders.dimensions import Dimensions, served_by
from fastchat_worker.encoders.encoder import REMEDY, Name, checked, cut_to
from fastchat_worker.encoders.features import Features, max_len_of, vocabulary_of
from fastchat_worker.encoders.text import PLAIN, Reading, Text, TextTask
from fastchat_worker.errors import RequestError, TooLongError, bad_request
from fastchat_worker.model.limits import check_limit
from fastchat_worker.model.measure import Measure, longest_token
from fastchat_worker.model.sentence_model import load_sentence_model
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles
from fastchat_worker.telemetry.progress import Report

_UNLIMITED = 512
"""Tokens of a text where neither the model nor an option bounds it."""
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""Names of the prompt for documents, the first that a model has, as in `encode_document`."""


class SentenceEmbedder:
    """A sentence-transformers model: its own prompts, tokens, pooling and normalisation.

    Its vectors are those of `encode`, and of `encode_query` and `encode_document` for texts that have a task.
    """

    def __init__(self, files: ModelFiles, settings: Settings, report: Report) -> None:
        report("loading the weights")
        self._model: Any = load_sentence_model(files, settings)
        self._features = Features(self._model)
        self._plain: TextTask | None = None if self._features.module(None) else "document"
        module = self._features.module(self._plain)
        limit = max_len_of(module, settings.max_model_len or _UNLIMITED)
        check_limit(settings.max_model_len, limit, settings.model_path)
        self.max_len = min(limit, settings.max_model_len or limit)
        self._measures: dict[TextTask | None, Measure] = {}
        self.dimensions = self._measure_dimensions(settings.matryoshka_dimensions)

    def _measure_dimensions(self, option: str) -> Dimensions:
        """By a text: modules that do not know how many numbers they give are not few."""
        full = self.encode(self.read(["?"], str, Reading(self._plain))).shape[1]
        default = min(full, self._model.truncate_dim or full)
        served = served_by(self._model.config, truncated=default < full, option=option)
        return Dimensions(full, default, served, unit=_normalises(self._model))

    @property
    def tokenizer(self) -> Any:
        return self._features.tokenizer(self._plain)

    def split(self, text: str, *, special: bool = True) -> list[int]:
        return self._features.split(text, self._plain, special=special)

    def tokens(self, text: str, param: str) -> list[int]:
        return self.read([text], lambda _: param, Reading(self._plain))[0].tokens

    def read(self, texts: Sequence[str | Sequence[int]], name: Name, reading: Reading = PLAIN) -> list[Text]:
        module = self._module(reading.task)
        max_len = min(self.max_len, getattr(module, f"{reading.task}_length", None) or self.max_len)
        keep = cut_to(reading.keep, max_len)
        strings = [text for text in texts if isinstance(text, str)]
        if not strings:
            kind = self._features.kind(reading.task)
            found = [Text(list(cast(Sequence[int], text))[:keep], kind=kind) for text in texts]
        elif keep is not None:
            found = self._beginnings(strings, reading, keep)
        else:
            self._refuse_hopeless(strings, name, reading.task, max_len)
            found = self._features.read(strings, self._prompt(reading), reading.task, truncation=False)
        limits = {"vocabulary": vocabulary_of(module), "max_len": max_len}
        return [checked(text, name(at), **limits) for at, text in enumerate(found)]

    def _beginnings(self, texts: Sequence[str], reading: Reading, keep: int) -> list[Text]:
        measure, prompt = self._measure(reading.task), self._prompt(reading)
        short = [measure.beginning(text, keep) for text in texts]
        found = self._features.read(short, prompt, reading.task, truncation=True, max_length=keep)
        # Some tokenizers do not cut, and none does to less than it adds itself.
        return [text if len(text.tokens) <= keep else Text(text.tokens[:keep], None, text.kind) for text in found]

    def _refuse_hopeless(self, texts: Sequence[str], name: Name, task: TextTask | None, max_len: int) -> None:
        measure = self._measure(task)
        for at, text in enumerate(texts):
            least = measure.least(text, max_len)
            if least is not None:
                raise TooLongError(max_len, least, f"{name(at)} has", name(at), REMEDY)

    def _measure(self, task: TextTask | None) -> Measure:
        if task not in self._measures:
            longest = longest_token(self._features.tokenizer(task))
            self._measures[task] = Measure(longest, lambda text: len(self._features.split(text, task, special=False)))
        return self._measures[task]

    def _module(self, task: TextTask | None) -> Any:
        module = self._features.module(task)
        if module is None:
            raise _no_route(task)
        return module

    def _prompt(self, reading: Reading) -> str | None:
        """The text put before; as `encode`, `encode_query` and `encode_document` choose it."""
        prompts: dict[str, str] = self._model.prompts
        name = reading.prompt_name
        if name is not None and name not in prompts:
            raise _no_prompt(name, [each for each, prompt in prompts.items() if prompt])
        if name is None and reading.hint in prompts:
            name = reading.hint
        if name is None and reading.task is not None:
            candidates = ("query",) if reading.task == "query" else _DOCUMENT_PROMPTS
            name = next((each for each in candidates if each in prompts), None)
        if name is None:
            name = self._model.default_prompt_name
        return None if name is None else prompts.get(name)

    @torch.inference_mode()
    def encode(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._features.forward(texts)["sentence_embedding"].float().cpu().numpy()
        return vectors


def _normalises(modules: Any) -> bool:
    """Vectors leave these modules with length one: that is what the last one does, or all ways through a router."""
    last = modules[-1]
    if hasattr(last, "sub_modules"):
        return all(map(_normalises, last.sub_modules.values()))
    return type(last).__name__ == "Normalize"


def _no_prompt(name: str, known: Sequence[str]) -> RequestError:
    listed = f"its prompts are {', '.join(known)}" if known else "it has none"
    return bad_request(f"This model has no prompt '{name}': {listed}.", "prompt_name")


def _no_route(task: TextTask | None) -> RequestError:
    if task is None:
        message = "This model embeds queries and documents differently: say 'input_type', query or document."
    else:
        message = f"This model has no part for input_type {task}."
    return bad_request(message, "input_type")
