"""The tokens of one choice as deltas: tokens → text → what stands before a stop text → deltas."""

from collections.abc import Callable, Mapping, Sequence

from fastchat_worker.output.parser import Delta, OutputParser
from fastchat_worker.output.stops import StopTexts
from fastchat_worker.output.text import Detokenizer


class ChoiceOutput:
    """Feeds the tokens of a choice through detokenizer, stop texts and parser.

    visible: control tokens, which have no text otherwise, whose text the parser reads.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        prompt: Sequence[int],
        stops: Sequence[str],
        parser: OutputParser,
        visible: Mapping[int, str] | None = None,
    ) -> None:
        self._text = Detokenizer(decode, prompt)
        self._stops = StopTexts(stops)
        self._parser = parser
        self._visible = visible or {}

    @property
    def stopped(self) -> bool:
        """A stop text is complete: whatever is generated from here on is not shown."""
        return self._stops.found

    @property
    def stop_text(self) -> str | None:
        """The stop text that is complete."""
        return self._stops.text

    def feed(self, token: int) -> list[Delta]:
        """What is certain once this token is there."""
        return self._parser.feed(self._stops.feed(self._text_of(token)))

    def end(self) -> list[Delta]:
        """What was held back; no token follows."""
        rest = self._stops.feed(self._text.end())
        return [*self._parser.feed(rest + self._stops.end()), *self._parser.end()]

    def _text_of(self, token: int) -> str:
        if token in self._visible:
            return self._text.end() + self._visible[token]
        return self._text.feed(token)
