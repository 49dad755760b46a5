"""A text as an encoder takes it."""

from dataclasses import dataclass
from typing import Any, Literal

TextTask = Literal["query", "document"]
"""What a text is for, where a model distinguishes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts are to be read.

    task: what they are for; None: nothing in particular. prompt_name: the model's prompt before them; None: the one
    that the model has for the task, or its default one. hint: name of a prompt to prefer to these, if there is one.
    keep: to how many tokens a text may be cut, -1 for what the model takes; None: one that is too long is refused.
    """

    task: TextTask | None = None
    prompt_name: str | None = None
    hint: str | None = None
    keep: int | None = None


PLAIN = Reading()


@dataclass(frozen=True, slots=True)
class Kind:
    """What texts have in common that are computed together. shared: features of a batch that are no tensors."""

    task: TextTask | None = None
    shared: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A text, or a pair of them, as tokens. types: to which of a pair each token belongs, where the model wants it."""

    tokens: list[int]
    types: list[int] | None = None
    kind: Kind = Kind()
