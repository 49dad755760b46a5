"""Tokens to text, piece by piece; a token here is a byte."""

from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.output.text import Detokenizer
from fastchat_worker.output.tokens import TokenTexts

_BYTES = TokenTexts(lambda ids: bytes(ids).decode(errors="replace"))


def _pieces(text: str, prompt: bytes = b"") -> list[str]:
    detokenizer = Detokenizer(_BYTES, list(prompt))
    return [*map(detokenizer.feed, text.encode()), detokenizer.end()]


@given(st.text())
def test_the_pieces_add_up_to_the_text(text):
    assert "".join(_pieces(text)) == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd")))
def test_no_piece_holds_half_a_character(text):
    assert not any("\ufffd" in piece for piece in _pieces(text, prompt="é".encode()))


def test_half_a_character_at_the_end_becomes_a_replacement_character():
    detokenizer = Detokenizer(_BYTES)
    assert detokenizer.feed("é".encode()[0]) == ""
    assert detokenizer.end() == "\ufffd"


def test_bytes_that_are_no_text_do_not_pile_up():
    detokenizer = Detokenizer(_BYTES)
    assert "".join(detokenizer.feed(0xFF) for _ in range(100)).count("\ufffd") > 90


def test_a_prompts_end_decides_how_the_first_token_reads():
    def decode(ids):  # like sentencepiece: the first word of a text has no space before it
        return " ".join("abc"[i] for i in ids)

    detokenizer = Detokenizer(TokenTexts(decode), [0, 1])
    assert detokenizer.feed(2) == " c"


def test_characters_that_each_begin_in_the_token_before_come_whole():
    tokens = [b"\xc3", *[b"\xa9\xc3"] * 8, b"\xa9"]
    text = Detokenizer(TokenTexts(lambda ids: b"".join(tokens[token] for token in ids).decode(errors="replace")))
    assert [text.feed(token) for token in range(len(tokens))] == ["", *"é" * 9]
