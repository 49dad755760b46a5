"""Tokens to text, piece by piece; a token here is a byte."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.output import text as text_module
from fastchat_worker.output.text import TextStream


def _decode(ids) -> str:
    return bytes(ids).decode(errors="replace")


def _pieces(text: str, stops=(), prompt: bytes = b"") -> list[str]:
    stream = TextStream(_decode, list(prompt), stops)
    pieces = []
    for byte in text.encode():
        pieces.append(stream.feed(byte))
        if stream.stopped:
            return pieces
    return [*pieces, stream.flush()]


@given(st.text())
def test_the_pieces_add_up_to_the_text(text):
    assert "".join(_pieces(text)) == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd")))
def test_no_piece_holds_half_a_character(text):
    assert not any("\ufffd" in piece for piece in _pieces(text, prompt="é".encode()))


def test_half_a_character_at_the_end_becomes_a_replacement_character():
    stream = TextStream(_decode, [], ())
    assert stream.feed("é".encode()[0]) == ""
    assert stream.flush() == "\ufffd"


def test_bytes_that_are_no_text_do_not_pile_up():
    stream = TextStream(_decode, [], ())
    assert "".join(stream.feed(0xFF) for _ in range(100)).count("\ufffd") > 90


@given(st.text("ab"), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop_and_none_of_a_stop_leaks(text, stops):
    assert "".join(_pieces(text, stops)) == text[: _first_stop(text, stops)]


def _first_stop(text: str, stops: list[str]) -> int:
    """Where a reader who gets one character at a time would stop: at the first stop text to be complete."""
    for end in range(1, len(text) + 1):
        found = [text[:end].find(stop) for stop in stops if stop in text[:end]]
        if found:
            return min(found)
    return len(text)


@pytest.mark.parametrize("text", ["a" * 2000, "ab" * 1000, ("a" * 1000 + "b") * 2, "b" * 2000])
def test_each_character_is_looked_at_once_for_each_stop_text(text):
    stops = ["a" * 1000 + "c", *("a" + "b" * length for length in range(1000, 1015))]
    steps = 0

    def count(frame, event, _argument):
        nonlocal steps
        steps += event == "line"
        return count if frame.f_code.co_filename == text_module.__file__ else None

    stream = TextStream(_decode, [], stops)
    sys.settrace(count)
    try:
        for byte in text.encode():
            stream.feed(byte)
    finally:
        sys.settrace(None)
    assert steps < 20 * len(stops) * len(text)


def test_what_may_become_a_stop_text_waits():
    assert _pieces("one STOX two", ["STOP"])[:8] == ["o", "n", "e", " ", "", "", "", "STOX"]


def test_a_prompts_end_decides_how_the_first_token_reads():
    def decode(ids):  # like sentencepiece: the first word of a text has no space before it
        return " ".join("abc"[i] for i in ids)

    stream = TextStream(decode, [0, 1], ())
    assert stream.feed(2) == " c"
