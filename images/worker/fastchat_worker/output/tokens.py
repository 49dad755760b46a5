"""What is known of single tokens: their text, their bytes, and how far they can be understood alone."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

REPLACEMENT = "\ufffd"
"""What bytes are decoded to that are no character, or not a whole one."""

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_CACHED = 1 << 16  # tokens, of which each takes some hundred bytes


class TokenTexts:
    """The texts of a tokenizer's tokens. decode: tokens → text. names: token → its name in the vocabulary, if any.

    skipped: tokens that decode leaves out.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        names: Callable[[int], str | None] = lambda _: "?",
        skipped: frozenset[int] = frozenset(),
        anchor: Sequence[int] = (),
    ) -> None:
        self.decode = decode
        self._names, self._skipped, self._anchor = names, skipped, list(anchor)
        self._before = decode(self._anchor) if anchor else ""
        self.is_solid = lru_cache(_CACHED)(self._is_solid)
        self.is_byte = lru_cache(_CACHED)(self._is_byte)
        self.is_skipped = lru_cache(_CACHED)(self._is_skipped)
        self.text = lru_cache(_CACHED)(self._text)
        self.raw = lru_cache(_CACHED)(self._raw)

    def _is_skipped(self, token: int) -> bool:
        """Whether it leaves no trace in a text: decode leaves out more special tokens than a tokenizer tells."""
        if token in self._skipped or not self._names(token):
            return True
        return bool(self._anchor) and not self.decode([token]) and self.decode([*self._anchor, token]) == self._before

    def _is_byte(self, token: int) -> bool:
        """Whether it is a byte that sentencepiece falls back to: the text of a run of them depends on all of them."""
        name = self._names(token) or ""
        return _BYTE.fullmatch(name) is not None and self.decode([token]) != name

    def _is_solid(self, token: int) -> bool:
        """Whether a text can be cut before it: it has text, and no character begins in the token before."""
        text = "" if self.is_skipped(token) or self.is_byte(token) else self.decode([token])
        return bool(text) and REPLACEMENT not in text

    def _text(self, token: int) -> str:
        r"""Its text between others; its name where it has none; `\xe2` and so on where it is half a character."""
        raw = self.raw(token)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return "".join(f"\\x{byte:02x}" for byte in raw)

    def _raw(self, token: int) -> bytes:
        """The bytes that it stands for."""
        name = self._names(token) or ""
        if self.is_skipped(token):
            return name.encode()
        if self.is_byte(token):
            return bytes([int(name[3:5], 16)])
        text = self.decode([*self._anchor, token])
        text = text.removeprefix(self._before) if text.startswith(self._before) else self.decode([token])
        if REPLACEMENT in text and all(character in _ALPHABET for character in name):
            raw = bytes(_ALPHABET[character] for character in name)
            if raw.decode(errors="replace") == text:
                return raw
        return text.encode()


def texts_of(tokenizer: Any, *, skip_special_tokens: bool) -> TokenTexts:
    """The texts of the tokens of transformers' tokenizer."""

    def decode(ids: Sequence[int]) -> str:
        options = {"skip_special_tokens": skip_special_tokens, "clean_up_tokenization_spaces": False}
        return str(tokenizer.decode(list(ids), **options))

    def name(token: int) -> str | None:
        try:
            found: str | None = tokenizer.convert_ids_to_tokens(token)
        except (IndexError, KeyError, OverflowError):  # slow tokenizers, of ids that only the model has
            return None
        return found

    skipped = frozenset(tokenizer.all_special_ids) if skip_special_tokens else frozenset()
    plain = TokenTexts(decode, name, skipped)
    anchors = [token for token in tokenizer("a", add_special_tokens=False)["input_ids"] if plain.is_solid(token)]
    return TokenTexts(decode, name, skipped, anchors[-1:])


def _byte_alphabet() -> dict[str, int]:
    """The character that stands for each byte in the names of a byte-level vocabulary (GPT-2's)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()
