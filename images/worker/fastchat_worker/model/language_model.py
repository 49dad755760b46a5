"""A language model as the engine needs it: weights, tokenizer and limits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from fastchat_worker.errors import TooLongError, bad_request
from fastchat_worker.model.measure import Measure, longest_token
from fastchat_worker.model.unread.weights import ModelWeights


@dataclass
class LanguageModel:
    """A loaded language model. `max_len` bounds prompt and completion together, in tokens.

    weights: where the model's numbers are, which need not be in it yet.
    file: the GGUF file that it comes from.
    digest: of its files.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    end_tokens: frozenset[int]
    max_len: int
    vocabulary: int
    weights: ModelWeights = field(default_factory=ModelWeights)
    file: Path | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        self._measure = Measure(longest_token(self.tokenizer), lambda text: len(self._split(text)))

    def tokens(self, text: str, param: str, keep: int | None = None, *, special: bool = True) -> list[int]:
        """Tokens of a text, with `special` and what the model wants before and after it; with `keep` only so many.

        Raises: without `keep` TooLongError where the text cannot fit, without spending the time to split all of it;
        RequestError 400 for a token that the tokenizer has and the model has not.
        """
        if keep is None:
            self.refuse_hopeless(text, param)
        else:
            text = self._measure.beginning(text, keep)
        ids: list[int] = self.tokenizer(text, add_special_tokens=special)["input_ids"]
        return self.checked(ids[:keep], param)

    def checked(self, ids: Sequence[int], param: str) -> list[int]:
        """Tokens that a caller made. Raises: RequestError 400 where the model does not know one."""
        return check_tokens(ids, self.vocabulary, param)

    def rendered_tokens(self, text: str, param: str) -> list[int]:
        """Tokens of a text that a chat template has made, which has in it what the model wants before and after.

        Raises: TooLongError where it cannot fit, without spending the time to split all of it.
        """
        self.refuse_hopeless(text, param)
        return self.checked(self._split(text), param)

    def offsets(self, text: str, *, special: bool = True) -> list[int] | None:
        """Where in the text each of its `tokens` begins, in characters; None where the tokenizer does not know."""
        if not self.tokenizer.is_fast:
            return None
        spans = self.tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)["offset_mapping"]
        offsets, end_before = [], 0
        for start, end in spans:  # some leave out the space between two words: it belongs to the second
            offsets.append(min(end_before, start) if start < end else end_before)
            end_before = max(end_before, end)
        return offsets

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _split(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def refuse_hopeless(self, text: str, param: str) -> None:
        """Raises: TooLongError where a text cannot fit, without spending the time to split all of it."""
        least = self._measure.least(text, self.max_len)
        if least is not None:
            raise TooLongError(self.max_len, least, "your prompt has", param)


def check_tokens(ids: Sequence[int], vocabulary: int, param: str) -> list[int]:
    """Tokens that a caller made. Raises: RequestError 400 where one is not in the vocabulary."""
    if ids and max(ids) >= vocabulary:
        unknown = next(token for token in ids if token >= vocabulary)
        raise bad_request(f"Token {unknown} is not in the model's vocabulary of {vocabulary} tokens.", param)
    return list(ids)
