"""What all encoders have in common."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastchat_worker.encoders.dimensions import Dimensions
from fastchat_worker.encoders.text import PLAIN, Reading, Text
from fastchat_worker.errors import RequestError, bad_request, context_length_exceeded

Name = Callable[[int], str]
"""How a request names its nth text, in errors."""
Vector = NDArray[np.float32]
REMEDY = "; 'truncate_prompt_tokens': -1 would cut it"
"""Ends the error about a text that is too long."""


class Encoder(Protocol):
    """A model that takes texts of up to `max_len` tokens. tokenizer: transformers' one."""

    max_len: int

    @property
    def tokenizer(self) -> Any: ...

    def split(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text of any length; special: with what the model wants before and after it."""

    def tokens(self, text: str, param: str) -> list[int]:
        """The tokens of a text, those that the model adds included.

        Raises: TooLongError for a text that cannot fit, which is not split to its end.
        """

    def encode(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """Numbers for each text of one kind: [texts, …]."""


class Embedder(Encoder, Protocol):
    """An encoder whose numbers are vectors."""

    dimensions: Dimensions

    def read(self, texts: Sequence[str | Sequence[int]], name: Name, reading: Reading = PLAIN) -> list[Text]:
        """Texts ready for `encode`, all of them texts or all tokens; these are taken as they are, without a prompt.

        name: how errors name one of them. Raises: RequestError 400 for a prompt or a task that the model does not have,
        a text that is too long (it is not split to its end), and tokens that the model does not know.
        """


class PairEncoder(Encoder, Protocol):
    """An encoder whose numbers say how well two texts match, a higher one better."""

    def read_pairs(self, pairs: Sequence[tuple[str, str]], name: Name, keep: int | None) -> list[Text]:
        """Pairs of texts ready for `encode`; `name` as in `Embedder.read`, `keep` as in `Reading`.

        Raises: RequestError 400 for a pair that is too long, and tokens that the model does not know.
        """


def cut_to(keep: int | None, max_len: int) -> int | None:
    """The tokens that a text may keep; None: all, and one with more than `max_len` is refused."""
    if keep is None:
        return None
    return max_len if keep < 1 else min(keep, max_len)


def checked(text: Text, param: str, *, vocabulary: int, max_len: int) -> Text:
    """The text. Raises: RequestError 400 where it has too many tokens, none, or one that the model does not know."""
    if len(text.tokens) > max_len:
        raise context_length_exceeded(max_len, f"{param} has {len(text.tokens)} tokens{REMEDY}", param)
    if not text.tokens:
        raise bad_request(f"{param} makes no tokens.", param)
    if max(text.tokens) >= vocabulary:
        raise _unknown_token(text.tokens, vocabulary, param)
    return text


def _unknown_token(tokens: Sequence[int], vocabulary: int, param: str) -> RequestError:
    at = next(at for at, token in enumerate(tokens) if token >= vocabulary)
    message = f"{param} has token {tokens[at]} at position {at}; the model has {vocabulary} tokens, numbered from 0."
    return bad_request(message, param)
