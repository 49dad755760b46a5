"""How far a stream has come, in tokens, so that it can go on after its connection was lost."""

import json
from dataclasses import dataclass, field
from typing import Any

_NO_TOKENS = "-"


@dataclass
class _Choice:
    tokens: list[int] = field(default_factory=list)
    cached: int = 0
    ended: bool = False


class Progress:
    """Reads the comments of a stream whose server can go on with it (docs/decisions/resumable-streams.md)."""

    def __init__(self) -> None:
        self._origin: dict[str, Any] | None = None
        self._choices: dict[int, _Choice] = {}

    @property
    def is_known(self) -> bool:
        """The server has said what it takes to go on."""
        return self._origin is not None

    @property
    def amount(self) -> int:
        """Grows with what was generated."""
        return sum(len(choice.tokens) + choice.ended for choice in self._choices.values())

    def note(self, comment: str) -> bool:
        """Take in what stands behind a comment's colon; False: it says nothing of progress."""
        kind, _, rest = comment.partition(" ")
        try:
            if kind == "r":
                created, seed, model = rest.split(" ")
                self._origin = {"created": int(created), "seed": seed, "model": model}
            elif kind == "t" and self.is_known:
                self._add(*rest.split(" "))
        except (ValueError, TypeError):
            self._origin = None
        return kind in ("r", "t", "h") and self.is_known

    def _add(self, place: str, tokens: str, *rest: str) -> None:
        choice = self._choices.setdefault(int(place), _Choice())
        choice.tokens += [] if tokens == _NO_TOKENS else map(int, tokens.split(","))
        for word in rest:
            if word == ".":
                choice.ended = True
            elif word.startswith("c"):
                choice.cached = int(word[1:])

    def document(self) -> bytes:
        """What the server is told to go on from."""
        choices = [self._choices.get(place, _Choice()) for place in range(max(self._choices, default=-1) + 1)]
        return json.dumps({**(self._origin or {}), "choices": [vars(choice) for choice in choices]}).encode()
