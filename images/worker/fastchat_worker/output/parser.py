"""The text of a choice as what it means to the client: content, reasoning and calls of tools."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CallDelta:
    """What call `index` of a choice gained. Its first delta has the name; the arguments of all add up to JSON."""

    index: int
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """What a choice gained, as one event of a stream carries it; never nothing."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[CallDelta, ...] = ()


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
    """The whole message, of which these are the deltas in order; each of its calls is whole."""
    deltas = list(deltas)
    content, reasoning = "".join(delta.content for delta in deltas), "".join(delta.reasoning for delta in deltas)
    return Delta(content, reasoning, _joined_calls(call for delta in deltas for call in delta.calls))


def _joined_calls(pieces: Iterable[CallDelta]) -> tuple[CallDelta, ...]:
    calls: dict[int, CallDelta] = {}
    for piece in pieces:
        so_far = calls.get(piece.index, CallDelta(piece.index))
        calls[piece.index] = CallDelta(piece.index, so_far.name or piece.name, so_far.arguments + piece.arguments)
    return tuple(calls[index] for index in sorted(calls))
