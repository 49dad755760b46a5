"""The tokens of one choice as deltas: tokens → text → what stands before a stop text → deltas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastchat_worker.output.logprobs import LoggedToken, TokenLog
from fastchat_worker.output.parser import Delta, OutputParser
from fastchat_worker.output.stops import StopTexts
from fastchat_worker.output.text import Detokenizer
from fastchat_worker.output.tokens import TokenTexts
from fastchat_worker.sampling.score import Score


@dataclass(frozen=True, slots=True)
class Ending:
    """Texts that end a choice, from the token after `min_tokens` on. include: what ends it is part of its text."""

    stops: Sequence[str] = ()
    include: bool = False
    min_tokens: int = 0


class ChoiceOutput:
    """Feeds the tokens of a choice through detokenizer, stop texts and parser.

    context: what `context_of` its prompt is. visible: control tokens, which have no text otherwise, whose text the
    parser reads.
    """

    def __init__(
        self,
        texts: TokenTexts,
        context: Sequence[int],
        ending: Ending,
        parser: OutputParser,
        visible: Mapping[int, str] | None = None,
    ) -> None:
        self._text = Detokenizer(texts, context)
        self._log = TokenLog(texts)
        self._ending = ending
        self._stops = StopTexts(ending.stops, include=ending.include)
        self._parser = parser
        self._visible = visible or {}
        self._shown = 0  # characters
        self._end_token: tuple[int, Score] | None = None
        self._unclear = 0  # tokens of which no delta has come yet
        self._reasons = False  # the last delta was reasoning
        self.fed = 0
        """Tokens so far."""
        self.reasoning_tokens = 0
        """Tokens whose text went to reasoning. Those of which no delta comes count with the next one, or the last."""

    @property
    def stopped(self) -> bool:
        """A stop text is complete: whatever is generated from here on is not shown."""
        return self._stops.found

    @property
    def stop_text(self) -> str | None:
        """The stop text that is complete."""
        return self._stops.text

    def feed(self, token: int, score: Score | None = None, *, ends: bool = False) -> list[Delta]:
        """What is certain once this token is there. ends: it is an end token."""
        self.fed += 1
        self._unclear += 1
        if ends and not self._ending.include and token not in self._visible:
            self._end_token = (token, score) if score else None
            return []
        if score:
            self._log.add(token, score)
        return self._count(self._parser.feed(self._shown_of(self._text_of(token))))

    def end(self) -> list[Delta]:
        """What was held back; no token follows."""
        rest = self._shown_of(self._text.end())
        held = self._stops.end()
        self._shown += len(held)
        deltas = self._count([*self._parser.feed(rest + held), *self._parser.end()])
        if self._reasons:
            self.reasoning_tokens += self._unclear
        return deltas

    def take_logged(self, *, final: bool) -> list[LoggedToken]:
        """The tokens whose text was shown since the last call; finally all that are left, but none of a stop text."""
        tokens = self._log.shown(self._shown)
        if final and not self.stopped:
            tokens += self._log.rest()
            if self._end_token:
                tokens.append(self._log.end_token(*self._end_token))
        return tokens

    @property
    def unlogged(self) -> int:
        """Tokens, the newest ones, that `take_logged` has not given."""
        return self._log.pending

    def rescore(self, scores: Sequence[Score]) -> None:
        """The scores of those, which were fed with others."""
        self._log.rescore(scores)

    def _text_of(self, token: int) -> str:
        if token in self._visible:
            return self._text.end() + self._visible[token]
        return self._text.feed(token)

    def _shown_of(self, piece: str) -> str:
        self._log.place(piece)
        visible = self._stops.feed(piece, ends=self.fed > self._ending.min_tokens)
        self._shown += len(visible)
        return visible

    def _count(self, deltas: list[Delta]) -> list[Delta]:
        if deltas:
            self._reasons = any(delta.reasoning for delta in deltas)
            self.reasoning_tokens += self._unclear * self._reasons
            self._unclear = 0
        return deltas
