"""What slots hold of sequences that have ended."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """The tokens of a slot, and whose they are."""

    tokens: list[int]
    owner: Hashable


class KeptTexts:
    """By slot, the least recently used first."""

    def __init__(self) -> None:
        self._texts: dict[int, Text] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[tuple[int, Text]]:
        return iter(self._texts.items())

    def get(self, slot: int) -> Text | None:
        return self._texts.get(slot)

    def put(self, slot: int, text: Text) -> None:
        """The one used last from here on."""
        self._texts[slot] = text

    def take(self, slot: int) -> Text | None:
        return self._texts.pop(slot, None)

    def touch(self, slot: int) -> None:
        """It was used."""
        if text := self.take(slot):
            self.put(slot, text)

    def move(self, slot: int, target: int) -> None:
        """The text of a slot stands in another one, whose own was taken. Nobody has used it."""
        self._texts = {target if at == slot else at: text for at, text in self._texts.items()}

    def pop_oldest(self) -> tuple[int, Text]:
        slot = next(iter(self._texts))
        return slot, self._texts.pop(slot)

    @property
    def tokens(self) -> int:
        return sum(len(text.tokens) for text in tuple(self._texts.values()))
