"""The bytes of every token of a tokenizer, as llguidance needs them."""

import re
from collections.abc import Collection
from typing import Any

from llguidance import LLTokenizer, TokenizerWrapper
from llguidance.hf import from_tokenizer

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def token_table(tokenizer: Any, vocabulary: int, end_tokens: Collection[int]) -> LLTokenizer:
    """Of a tokenizer of transformers. `vocabulary` is the model's, which may be larger.

    Where there is no end token, token 0 ends a text that is complete.
    """
    ends = sorted(token for token in end_tokens if token < vocabulary) or [0]
    if hasattr(tokenizer, "backend_tokenizer"):
        try:
            return from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=ends)
        except ValueError:
            pass  # llguidance does not know this kind; its vocabulary says enough
    table = TokenizerWrapper(_Vocabulary(tokenizer, vocabulary, ends[0]))
    return LLTokenizer(table, n_vocab=vocabulary, eos_token=ends)


class _Vocabulary:
    """What llguidance asks of a tokenizer that is not written in Rust, such as sentencepiece's."""

    def __init__(self, tokenizer: Any, vocabulary: int, end_token: int) -> None:
        self.eos_token_id = end_token
        self.bos_token_id = tokenizer.bos_token_id
        self.special_token_ids = sorted({*tokenizer.all_special_ids, end_token} & set(range(vocabulary)))
        known = min(vocabulary, len(tokenizer))
        pieces = [*tokenizer.convert_ids_to_tokens(list(range(known))), *[None] * (vocabulary - known)]
        by_bytes = _byte_letters() if "Ġ" in pieces and "▁" not in pieces else {}
        self.tokens = [token_bytes(piece, by_bytes) for piece in pieces]
        special = set(self.special_token_ids)
        self._ids = {token: i for i, token in enumerate(self.tokens) if token and i not in special}
        self._longest = max(map(len, self._ids), default=1)

    def __call__(self, text: bytes) -> list[int]:
        """Tokens that add up to a text which a grammar forces: always the longest that fits.

        The tokenizer itself would put a space before it.
        """
        ids, at = [], 0
        while at < len(text):
            pieces = (text[at : at + length] for length in range(self._longest, 0, -1))
            piece = next((piece for piece in pieces if piece in self._ids), None)
            if piece is not None:
                ids.append(self._ids[piece])
            at += len(piece or b" ")
        return ids


def token_bytes(piece: str | bytes | None, by_bytes: dict[str, int]) -> bytes:
    """The bytes that a piece of a vocabulary stands for; none for one that is not there.

    by_bytes: the letters that byte-level vocabularies write bytes with; empty for sentencepiece's, which write a space
    as "▁" and a single byte as "<0x0A>".
    """
    if piece is None or isinstance(piece, bytes):
        return piece or b""
    if byte := _BYTE.fullmatch(piece):
        return bytes([int(byte[1], 16)])
    if by_bytes and all(letter in by_bytes for letter in piece):
        return bytes(by_bytes[letter] for letter in piece)
    return piece.replace("▁", " ").encode(errors="replace")


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for bytes: printable ones as they are, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
