"""Tokens to text, piece by piece."""

from collections.abc import Sequence
from itertools import takewhile

from fastchat_worker.output.tokens import REPLACEMENT, TokenTexts

_RUN = 16  # bytes of a run whose end is waited for; what comes later may turn all of them into U+FFFD
_REST = 3  # bytes that may be missing of a run's last character
_WINDOW = 32  # tokens that are decoded together before a place is looked for to cut them
_WIDEST = 64  # tokens that are decoded together at most


class Detokenizer:
    """Turns the tokens that follow a prompt into pieces of text.

    They add up to what decode says of prompt and tokens together beyond what it says of the prompt. A character is
    never split: what stands before it is handed on, and it waits for the tokens with the rest of it. A run of bytes
    that sentencepiece falls back to waits for its end, or for 16 of them: one that is no text makes U+FFFD of all. What
    64 tokens leave open is not waited for any longer, so that a token costs the same wherever it stands.

    context: what `context_of` the prompt is.
    """

    def __init__(self, texts: TokenTexts, context: Sequence[int] = ()) -> None:
        self._texts = texts
        self._ids = list(context)  # the window: what is decoded together
        self._shown = texts.decode(self._ids) if context else ""  # the text of the window, as far as it was handed on
        self._next = len(self._ids)  # where the next window begins

    def feed(self, token: int) -> str:
        """The text that is certain once this token is there."""
        if self._texts.is_skipped(token):
            return ""
        self._ids.append(token)
        piece = self._feed_byte() if self._texts.is_byte(token) else self._feed_text()
        return piece + self._narrowed() if len(self._ids) > _WIDEST else piece

    def end(self) -> str:
        """What waited for the rest of its character, which becomes U+FFFD."""
        return self._advance(self._texts.decode(self._ids)) if self._ids else ""

    def _feed_text(self) -> str:
        text = self._texts.decode(self._ids)
        if not text.endswith(REPLACEMENT):
            return self._advance(text)
        certain = text[:-1]  # the last one may become a character
        piece = _beyond(self._shown, certain)
        if piece:
            self._shown = certain
        if len(self._ids) - self._next > _WINDOW:
            self._cut(text)
        return piece

    def _feed_byte(self) -> str:
        run = len(self._ids) - self._next
        if run <= _RUN:
            return ""
        text = self._texts.decode(self._ids)
        return "" if text.endswith(REPLACEMENT) and run <= _RUN + _REST else self._advance(text)

    def _advance(self, text: str) -> str:
        piece = _beyond(self._shown, text)
        shown = self._texts.decode(self._ids[self._next :])
        if shown:  # else it is no context: some tokenizers drop the space at the beginning of a text
            del self._ids[: self._next]
            self._next, text = len(self._ids), shown
        self._shown = text
        return piece

    def _cut(self, text: str) -> None:
        """Shortens a window of bytes that are no text, where one of the last of them begins for certain."""
        for at in range(len(self._ids) - 1, len(self._ids) - 5, -1):
            rest = self._texts.decode(self._ids[at:])
            if rest and self._texts.decode(self._ids[:at]) + rest == text:
                self._ids, self._next, self._shown = self._ids[at:], 0, rest[:-1]
                return

    def _narrowed(self) -> str:
        """Keeps the newest tokens of a window that has grown too wide. Returns: what waited and now waits no longer."""
        text = self._texts.decode(self._ids)
        self._ids, self._next = self._ids[-_WINDOW:], 0
        kept = self._texts.decode(self._ids)
        waits = kept.endswith(REPLACEMENT) and text.endswith(REPLACEMENT)
        piece = _beyond(self._shown, text[:-1] if waits else text)
        self._shown = kept[:-1] if waits else kept
        return piece


def context_of(texts: TokenTexts, prompt: Sequence[int]) -> list[int]:
    """The end of a prompt, as much as decides how the tokens after it read, and of what is no text only so much."""
    context: list[int] = []
    for token in reversed(prompt):
        if texts.is_skipped(token):
            continue
        if (len(context) >= _WINDOW and not _continues(texts.raw(context[-1]))) or len(context) == _WINDOW + _REST:
            break
        context.append(token)
        if texts.is_solid(token):
            break
    return context[::-1]


def _continues(raw: bytes) -> bool:
    """Whether these bytes begin within a character."""
    return bool(raw) and raw[0] & 0xC0 == 0x80


def token_offsets(texts: TokenTexts, tokens: Sequence[int], end: int) -> list[int]:
    """Where each of the tokens begins in their text, in characters, and not beyond `end`."""
    detokenizer, offsets, made = Detokenizer(texts), [], 0
    for token in tokens:
        offsets.append(min(made, end))
        made += len(detokenizer.feed(token))
    return offsets


def _beyond(shown: str, text: str) -> str:
    """What a text has beyond what was shown, whose last characters may have become others."""
    if text.startswith(shown):
        return text[len(shown) :]
    same = takewhile(lambda pair: pair[0] == pair[1], zip(shown, text, strict=False))
    return text[sum(1 for _ in same) :]
