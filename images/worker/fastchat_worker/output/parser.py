"""The text of a choice as what it means to the client: content today; reasoning and tool calls will come beside it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delta:
    """What a choice gained, as one event of a stream carries it; never nothing."""

    content: str


class OutputParser(Protocol):
    """Turns the text of one choice into deltas while it comes.

    However the text is cut into pieces, its deltas add up to the same message.
    """

    def feed(self, text: str) -> list[Delta]:
        """What is certain once this text is there; nothing where it may still mean something else."""

    def end(self) -> list[Delta]:
        """What was held back; no text follows."""


class ContentParser:
    """Takes all text as content."""

    def feed(self, text: str) -> list[Delta]:
        return [Delta(text)] if text else []

    def end(self) -> list[Delta]:
        return []


def joined(deltas: Iterable[Delta]) -> Delta:
    """The whole message, of which these are the deltas in order."""
    return Delta("".join(delta.content for delta in deltas))
