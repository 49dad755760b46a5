"""Control text in what users write, such as <|im_end|>: it stays text, while the template's own becomes tokens.

What users wrote is marked before it is rendered, with characters that are nowhere else in the conversation; what stands
between the marks is split into tokens as if the tokenizer had no control tokens. Texts without control text, nearly
all, are not touched.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fastchat_worker.chat.turns import Turn
from fastchat_worker.errors import bad_request

_RARE = range(0x20000, 0x2A6D7)
"""CJK Extension B: printable, so that a template that writes Python's or JSON's notation of a text keeps them."""
_RARE_CHARACTER = re.compile(f"[{chr(_RARE.start)}-{chr(_RARE[-1])}]")
_WINDOW = 1 << 16  # characters searched at once: a search keeps all other threads waiting


class ControlText:
    """The texts that a tokenizer reads as control tokens.

    Those are its special tokens, and of the other tokens that were added to it those that the templates write.
    """

    def __init__(self, tokenizer: Any, templates: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        added = list(tokenizer.added_tokens_decoder.items())
        special = {token.content for _, token in added if token.special}
        written = {token.content for _, token in added if any(token.content in template for template in templates)}
        self._ids = {token.content: number for number, token in added}
        self._special = _Finder(special)
        self._all = _Finder(special | {content for content in written if not content.isspace()})

    def marked(self, turns: Sequence[Turn], asked: Mapping[str, Any]) -> "Marked | None":
        """The conversation, and what else the template reads, with marks; None where there is no control text in it.

        Of what the model wrote itself only special tokens are marked: no answer shows those.
        """
        found = [(self._special if turn["role"] == "assistant" else self._all, turn) for turn in turns]
        everything = [*found, (self._all, asked)]
        if not self._all.finds("\0".join(_texts([*turns, asked]))):
            return None  # nearly always
        marks = _unused(text for _, value in everything for text in _texts(value))
        marked = [finder.mark(value, marks) for finder, value in everything]
        return Marked(marked[:-1], marked[-1], marks)

    def split(self, text: str, marks: tuple[str, str]) -> list[int]:
        """The tokens of a text with marks in it."""
        for mark in marks:
            text = text.replace(json.dumps(mark)[1:-1], mark)
        ids: list[int] = []
        end = 0
        for match in _marked_control(self._all.pattern, marks).finditer(text):
            ids += self._piece(self._usually, unmarked(text[end : match.start()], marks), begins=not ids)
            ids += self._literally(unmarked(match[0], marks), begins=not ids)
            end = match.end()
        return ids + self._piece(self._usually, unmarked(text[end:], marks), begins=not ids)

    def _piece(self, encode: Callable[[str], list[int]], text: str, *, begins: bool) -> list[int]:
        """The tokens of a piece; of one that does not begin the prompt without the space that some put first."""
        if not begins:
            ids, newline = encode("\n" + text), encode("\n")
            if ids[: len(newline)] == newline:
                return ids[len(newline) :]
        return encode(text) if text else []

    def _usually(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _literally(self, text: str, *, begins: bool) -> list[int]:
        """Without control tokens, also where the vocabulary has this one as a piece like any other."""
        ids = self._piece(self._by_vocabulary, text, begins=begins)
        if self._ids.get(text) not in ids:
            return ids
        characters = (self._piece(self._by_vocabulary, each, begins=begins and not at) for at, each in enumerate(text))
        return [token for tokens in characters for token in tokens]

    def _by_vocabulary(self, text: str) -> list[int]:
        """Tokens without those that were added.

        `split_special_tokens` would say so to a Rust tokenizer too, but for all threads that use it meanwhile.
        """
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
            return ids
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        words = [text]
        if backend.pre_tokenizer is not None:
            words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        return [token.id for word in words for token in backend.model.tokenize(word)]


@dataclass(frozen=True)
class Marked:
    """Turns and variables of a template with marks around control text."""

    turns: list[Turn]
    asked: dict[str, Any]
    marks: tuple[str, str]


def _unused(texts: Iterable[str]) -> tuple[str, str]:
    """Two characters that are in none of the texts. Raises: RequestError 400 where there are none left."""
    used = {character for text in texts for character in _RARE_CHARACTER.findall(text)}
    free = (chr(code) for code in _RARE if chr(code) not in used)
    first, last = next(free, ""), next(free, "")
    if not last:
        raise bad_request("The messages have control text, and every rare character to mark it with.", "messages")
    return first, last


def unmarked(text: str, marks: Iterable[str]) -> str:
    """The text without marks."""
    for mark in marks:
        text = text.replace(json.dumps(mark)[1:-1], "").replace(mark, "")
    return text


@lru_cache(maxsize=16)
def _marked_control(control: str, marks: tuple[str, str]) -> re.Pattern[str]:
    """Finds control text with a mark on either side: of two a template may have cut one off."""
    first, last = marks
    return re.compile(f"{first}{control}{last}?|{control}{last}")


def _texts(value: Any) -> Iterator[str]:
    """The strings in a value of JSON's kinds, but for the names of its fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


class _Finder:
    """Finds any of some texts, of two that begin together the longer; it takes no longer the more there are."""

    def __init__(self, texts: Iterable[str]) -> None:
        texts = [text for text in texts if text]
        self._longest = max(map(len, texts), default=0)
        self.pattern = _alternatives(texts) if texts else "(?!)"
        """A regular expression, as a group."""
        self._compiled = re.compile(self.pattern)

    def finds(self, text: str) -> bool:
        """Whether any of them is in the text."""
        return next(self._matches(text), None) is not None

    def mark(self, value: Any, marks: Sequence[str]) -> Any:
        """A value of JSON's kinds, equal to this one but for marks around what is found in its strings."""
        if isinstance(value, str):
            return self._marked(value, marks)
        if isinstance(value, Mapping):
            return {key: self.mark(each, marks) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.mark(each, marks) for each in value]
        return value

    def _marked(self, text: str, marks: Sequence[str]) -> str:
        pieces, end = [], 0
        for match in self._matches(text):
            pieces += [text[end : match.start()], marks[0], match[0], marks[1]]
            end = match.end()
        return "".join([*pieces, text[end:]])

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        start = 0
        while start < len(text):
            end = start + _WINDOW
            match = self._compiled.search(text, start, end + self._longest)
            if match and match.start() < end:
                yield match
                start = match.end()
            else:
                start = end


def _alternatives(texts: Iterable[str]) -> str:
    """A regular expression in which texts that begin alike share their beginning."""
    texts = list(texts)
    if len(texts) == 1:
        return f"(?:{re.escape(texts[0])})"
    by_first: dict[str, list[str]] = {}
    optional = False
    for text in texts:
        if text:
            by_first.setdefault(text[0], []).append(text[1:])
        else:
            optional = True
    branches = [re.escape(first) + _alternatives(rests) for first, rests in sorted(by_first.items())]
    whole = branches[0] if len(branches) == 1 and not optional else f"(?:{'|'.join(branches)})"
    return f"{whole}?" if optional else whole
