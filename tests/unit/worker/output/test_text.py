"""Tokens to text, piece by piece; a token here is a byte."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.output.text import Detokenizer, context_of
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


class Counted:
    """Decodes, and counts the tokens that it was handed. names: the tokens' bytes."""

    def __init__(self, names: Sequence[bytes], anchor: Sequence[int] = ()) -> None:
        self.tokens = 0
        self._names = names
        self.texts = TokenTexts(self._decode, lambda token: repr(names[token]), anchor=anchor)

    def _decode(self, ids: Sequence[int]) -> str:
        self.tokens += len(ids)
        return b"".join(self._names[token] for token in ids).decode(errors="replace")

    def cost(self, do: Callable[[], object]) -> int:
        before = self.tokens
        do()
        return self.tokens - before


ENDLESS = {
    "no text": (b"a", b""),
    "no text after half a character": (b"\xe2", b""),
    "half characters": (b"a", b"\xe2\x80"),
    "ends of characters": (b"\xe2", b"\x80"),
    "no bytes of a text": (b"a", b"\xff"),
    "text": (b"a", b"b"),
}


@pytest.mark.parametrize("anchor", [[], [2]], ids=["no anchor", "an anchor"])
@pytest.mark.parametrize(("first", "then"), ENDLESS.values(), ids=ENDLESS)
def test_a_token_costs_the_same_however_many_came_before_it(first, then, anchor):
    counted = Counted([first, then, b"x"], anchor)
    detokenizer = Detokenizer(counted.texts)
    detokenizer.feed(0)

    def feed() -> None:
        for _ in range(500):
            detokenizer.feed(1)

    early = max(counted.cost(feed) for _ in range(2))
    assert max(counted.cost(feed) for _ in range(8)) <= early * 1.1


@pytest.mark.parametrize(("first", "then"), ENDLESS.values(), ids=ENDLESS)
def test_the_first_token_costs_the_same_however_long_the_prompt_is(first, then):
    counted = Counted([first, then, b"x"])

    def begin(prompt: int) -> int:
        return counted.cost(lambda: Detokenizer(counted.texts, context_of(counted.texts, [0, *[1] * prompt])).feed(2))

    begin(100)
    assert begin(9000) <= begin(100)


def test_a_character_is_whole_though_tokens_without_text_lie_within_it():
    tokens = [b"\xe2", b"\x82", b"\xac", b"", b"x"]
    detokenizer = Detokenizer(Counted(tokens, [4]).texts)
    assert "".join(detokenizer.feed(token) for token in (0, *[3] * 90, 1, *[3] * 90, 2)) == "\u20ac"
