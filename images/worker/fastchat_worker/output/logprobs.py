"""Tokens with their log probabilities, in step with the text that they belong to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastchat_worker.output.tokens import TokenTexts
from fastchat_worker.sampling.score import Score, finite


@dataclass(frozen=True, slots=True)
class Likely:
    """A token that could have stood there. text: as people read it; raw: the bytes that it stands for."""

    text: str
    raw: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class LoggedToken:
    """A token that stands there; `top` are the likeliest in its place.

    logprob: None for the first token of a prompt. offset: where it begins, in characters of its choice's text, or of
    its prompt's. ends: it is the model's end token, whose text is not shown.
    """

    text: str
    raw: bytes
    logprob: float | None
    top: tuple[Likely, ...]
    offset: int
    ends: bool = False


class TokenLog:
    """Keeps the tokens of one choice until their text is shown."""

    def __init__(self, texts: TokenTexts) -> None:
        self._texts = texts
        self._unplaced: list[tuple[int, Score]] = []  # no text has come of them yet
        self._waiting: list[tuple[int, Score, int]] = []  # token, score, offset
        self._made = 0  # characters

    def add(self, token: int, score: Score) -> None:
        """A token was generated; `place` says what came of it."""
        self._unplaced.append((token, score))

    def place(self, piece: str) -> None:
        """Text that has come of the tokens so far; each begins where the one before it ends, as far as can be seen."""
        if not piece:
            return
        start = 0
        for token, score in self._unplaced[:-1]:
            self._wait(token, score, start)
            text = self._texts.text(token)
            start += len(text) if piece.startswith(text, start) else 0
        for token, score in self._unplaced[-1:]:
            text = self._texts.text(token)
            last = len(piece) - len(text) if piece.endswith(text) else start
            self._wait(token, score, max(start, last) if len(self._unplaced) > 1 else 0)
        self._made += len(piece)
        self._unplaced.clear()

    def shown(self, characters: int) -> list[LoggedToken]:
        """The tokens that begin in the first so many characters, those given before left out."""
        number = sum(offset < characters for _, _, offset in self._waiting)
        shown, self._waiting = self._waiting[:number], self._waiting[number:]
        return self._logged(shown)

    def rest(self) -> list[LoggedToken]:
        """All others; no text follows."""
        for token, score in self._unplaced:
            self._wait(token, score, 0)
        rest, self._waiting = self._waiting, []
        self._unplaced.clear()
        return self._logged(rest)

    @property
    def pending(self) -> int:
        """Tokens that were given to nobody yet: the newest ones."""
        return len(self._waiting) + len(self._unplaced)

    def rescore(self, scores: Sequence[Score]) -> None:
        """The scores of those, which are known only now."""
        placed = len(self._waiting)
        old = zip(self._waiting, scores[:placed], strict=True)
        self._waiting = [(token, score, offset) for (token, _, offset), score in old]
        self._unplaced = [(token, score) for (token, _), score in zip(self._unplaced, scores[placed:], strict=True)]

    def end_token(self, token: int, score: Score) -> LoggedToken:
        """The token that ended the choice and is no part of its text."""
        return logged(self._texts, token, score, self._made, ends=True)

    def _wait(self, token: int, score: Score, start: int) -> None:
        self._waiting.append((token, score, self._made + start))

    def _logged(self, tokens: Iterable[tuple[int, Score, int]]) -> list[LoggedToken]:
        return [logged(self._texts, token, score, offset) for token, score, offset in tokens]


def logged(texts: TokenTexts, token: int, score: Score | None, offset: int, *, ends: bool = False) -> LoggedToken:
    """The token as responses have it."""
    logprob = None if score is None else finite(score.logprob)
    top = score.top if score else ()
    return LoggedToken(texts.text(token), texts.raw(token), logprob, _likely(texts, top), offset, ends)


def logged_prompt(
    texts: TokenTexts, prompt: Sequence[int], scores: Sequence[Score], offsets: Sequence[int]
) -> list[LoggedToken]:
    """The tokens of a prompt, of which the first has no log probability. offsets: where they begin in its text."""
    known = zip(prompt, [None, *scores], offsets, strict=True)
    return [logged(texts, token, score, offset) for token, score, offset in known]


def _likely(texts: TokenTexts, top: Iterable[tuple[int, float]]) -> tuple[Likely, ...]:
    return tuple(Likely(texts.text(token), texts.raw(token), logprob) for token, logprob in top)
