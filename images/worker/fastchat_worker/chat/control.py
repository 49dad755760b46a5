"""Control text in what users write, such as <|im_end|>: it stays text, while the template's own becomes tokens.

What users wrote is marked before it is rendered, with characters that no tokenizer and no language has; what stands
between the marks is split into tokens as if the tokenizer had no control tokens. Texts without control text, nearly
all, are not touched.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

_OPEN, _CLOSE = "\U000f0000", "\U000f0001"  # private use
_MARKS = re.compile(f"[{_OPEN}{_CLOSE}]")
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
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

    def mark(self, value: Any, *, by_model: bool = False) -> Any:
        """A value of JSON's kinds, equal to this one but for marks around control text in its strings.

        by_model: what the model may have written itself: only special tokens are marked, which no answer shows.
        """
        finder = self._special if by_model else self._all
        if isinstance(value, str):
            return finder.mark(value)
        if isinstance(value, dict):
            return {key: self.mark(each, by_model=by_model) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.mark(each, by_model=by_model) for each in value]
        return value

    def split(self, text: str) -> list[int]:
        """The tokens of a text with marks in it."""
        ids: list[int] = []
        for index, piece in enumerate(_MARKED.split(text)):
            plain = unmarked(piece)
            if index % 2:
                ids += self._literally(plain, begins=not ids)
            elif plain:
                ids += _piece(self._usually, plain, begins=not ids)
        return ids

    def _usually(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _literally(self, text: str, *, begins: bool) -> list[int]:
        """Without control tokens, also where the vocabulary has this one as a piece like any other."""
        ids = _piece(self._by_vocabulary, text, begins=begins)
        if self._ids.get(text) not in ids:
            return ids
        characters = (_piece(self._by_vocabulary, each, begins=begins and not at) for at, each in enumerate(text))
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


def unmarked(text: str) -> str:
    """The text without marks."""
    return _MARKS.sub("", text)


def _piece(encode: Callable[[str], list[int]], text: str, *, begins: bool) -> list[int]:
    """The tokens of a piece; of one that does not begin the prompt without the space that some tokenizers put first."""
    if not begins:
        ids, newline = encode("\n" + text), encode("\n")
        if ids[: len(newline)] == newline:
            return ids[len(newline) :]
    return encode(text)


class _Finder:
    """Finds any of some texts, of two that begin together the longer; it takes no longer the more there are."""

    def __init__(self, texts: Iterable[str]) -> None:
        texts = [text for text in texts if text]
        self._longest = max(map(len, texts), default=0)
        self._pattern = re.compile(_alternatives(texts) if texts else "(?!)")

    def mark(self, text: str) -> str:
        """The text with marks around what is found; marks that are in it already are taken out where there is any."""
        if next(self._matches(text), None) is None:
            return text
        text = unmarked(text)
        pieces, end = [], 0
        for match in self._matches(text):
            pieces += [text[end : match.start()], _OPEN, match[0], _CLOSE]
            end = match.end()
        return "".join([*pieces, text[end:]])

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        start = 0
        while start < len(text):
            end = start + _WINDOW
            match = self._pattern.search(text, start, end + self._longest)
            if match and match.start() < end:
                yield match
                start = match.end()
            else:
                start = end


def _alternatives(texts: Iterable[str]) -> str:
    """A regular expression in which texts that begin alike share their beginning."""
    texts = list(texts)
    if len(texts) == 1:
        return re.escape(texts[0])
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
