"""Where a text ends for its stop texts."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.output import stops as stops_module
from fastchat_worker.output.stops import StopTexts


def shown(text: str, stops: list[str]) -> list[str]:
    """What is shown with each character of the text, and at its end."""
    stop_texts = StopTexts(stops)
    return [*map(stop_texts.feed, text), stop_texts.end()]


def first_stop(text: str, stops: list[str]) -> int:
    """Where a reader who gets one character at a time would stop: at the first stop text to be complete."""
    for end in range(1, len(text) + 1):
        found = [text[:end].find(stop) for stop in stops if stop in text[:end]]
        if found:
            return min(found)
    return len(text)


@given(st.text("ab"), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop_and_none_of_a_stop_leaks(text, stops):
    assert "".join(shown(text, stops)) == text[: first_stop(text, stops)]


def test_what_may_become_a_stop_text_waits():
    assert shown("one STOX two", ["STOP"])[:8] == ["o", "n", "e", " ", "", "", "", "STOX"]


@pytest.mark.parametrize("text", ["a" * 2000, "ab" * 1000, ("a" * 1000 + "b") * 2, "b" * 2000])
def test_each_character_is_looked_at_once_for_each_stop_text(text):
    stops = ["a" * 1000 + "c", *("a" + "b" * length for length in range(1000, 1015))]
    steps = 0

    def count(frame, event, _argument):
        nonlocal steps
        steps += event == "line"
        return count if frame.f_code.co_filename == stops_module.__file__ else None

    stop_texts = StopTexts(stops)
    sys.settrace(count)
    try:
        for character in text:
            stop_texts.feed(character)
    finally:
        sys.settrace(None)
    assert steps < 20 * len(stops) * len(text)


@given(st.text("ab"), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3))
def test_with_include_text_ends_after_the_first_stop_and_nothing_waits(text, stops):
    stop_texts = StopTexts(stops, include=True)
    pieces = [stop_texts.feed(character) for character in text]
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    end = ends[0] if ends else len(text)
    assert pieces == [character if at < end else "" for at, character in enumerate(text)]
    assert stop_texts.end() == ""


@given(st.text("ab", max_size=8), st.text("ab", max_size=8), st.text("ab", min_size=1, max_size=3))
def test_a_stop_text_that_is_complete_before_it_may_be_ends_nothing(early, late, stop):
    stop_texts = StopTexts([stop])
    shown = "".join([*(stop_texts.feed(c, ends=False) for c in early), *map(stop_texts.feed, late), stop_texts.end()])
    whole = early + late
    ends = [end for end in range(len(early) + 1, len(whole) + 1) if whole[:end].endswith(stop)]
    assert shown == (whole[: ends[0] - len(stop)] if ends else whole)
