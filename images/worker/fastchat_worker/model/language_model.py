"""A language model as the engine needs it: weights, tokenizer and limits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from fastchat_worker.errors import LoadError, TooLongError, bad_request
from fastchat_worker.model.gguf import parsed_once
from fastchat_worker.model.measure import Measure, longest_token
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

_UNLIMITED = 1 << 20  # tokens; tokenizers without a limit give a number with thirty digits


@dataclass
class LanguageModel:
    """A loaded language model. `max_len` is the longest prompt and answer together, in tokens."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    end_tokens: frozenset[int]
    max_len: int
    vocabulary: int

    def __post_init__(self) -> None:
        self._measure = Measure(longest_token(self.tokenizer), lambda text: len(self._split(text)))

    def tokens(self, text: str, param: str, keep: int | None = None) -> list[int]:
        """Tokens of a text, with what the model wants before and after it; with `keep` not more than so many.

        Without, TooLongError where the text cannot fit, without spending the time to split all of it.
        """
        if keep is None:
            self._refuse_hopeless(text, param)
        else:
            text = self._measure.beginning(text, keep)
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids[:keep]

    def checked(self, ids: Sequence[int], param: str) -> list[int]:
        """Tokens that a caller made; RequestError where the model does not know one."""
        return check_tokens(ids, self.vocabulary, param)

    def rendered_tokens(self, text: str, param: str) -> list[int]:
        """Tokens of a text that a chat template has made, which has in it what the model wants before and after.

        Raises: TooLongError where it cannot fit, without spending the time to split all of it.
        """
        self._refuse_hopeless(text, param)
        return self._split(text)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _split(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _refuse_hopeless(self, text: str, param: str) -> None:
        least = self._measure.least(text, self.max_len)
        if least is not None:
            raise TooLongError(self.max_len, least, "your prompt has", param)


def check_tokens(ids: Sequence[int], vocabulary: int, param: str) -> list[int]:
    """Tokens that a caller made; RequestError where one is not in the vocabulary."""
    unknown = next((token for token in ids if token >= vocabulary), None)
    if unknown is not None:
        raise bad_request(f"Token {unknown} is not in the vocabulary of {vocabulary} tokens.", param)
    return list(ids)


def load(files: ModelFiles, settings: Settings, report: Callable[[str], None]) -> LanguageModel:
    """The model in memory on its device, as transformers has it; LoadError names what to change."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    device = pick_device(settings.device)
    report("loading the tokenizer")
    with parsed_once():
        tokenizer = AutoTokenizer.from_pretrained(files.folder, **files.kwargs)
        report("loading the weights")
        model = AutoModelForCausalLM.from_pretrained(
            files.folder, dtype=pick_dtype(settings.dtype, device), **files.kwargs
        )
    model = model.eval().to(device)
    if settings.chat_template:
        tokenizer.chat_template = _read(settings.chat_template)
    text_config = model.config.get_text_config()
    limit = getattr(text_config, "max_position_embeddings", None) or min(tokenizer.model_max_length, _UNLIMITED)
    return LanguageModel(model, tokenizer, _end_tokens(model, tokenizer), limit, text_config.vocab_size)


def pick_device(name: str) -> torch.device:
    """The device of `--device`; LoadError where there is none of that name."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LoadError(f"--device {name}: {str(error).partition(chr(10))[0]}") from None
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype | str:
    """auto: what the model was saved in on a GPU; float32 on the CPU, where the smaller types are slower."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    listed = [ends] if isinstance(ends, int) else ends or []
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise LoadError(f"--chat-template {path}: {error.strerror}") from None
