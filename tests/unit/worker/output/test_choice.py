"""A stream says what a whole response says, wherever the text is cut: into tokens, or into pieces of text."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastchat_worker.output.choice import ChoiceOutput, Ending
from fastchat_worker.output.parser import ContentParser, Delta, OutputParser, joined
from fastchat_worker.output.stops import StopTexts
from fastchat_worker.output.tokens import TokenTexts
from fastchat_worker.sampling.score import Score

PARSERS: list[Callable[[], OutputParser]] = [ContentParser]
TEXT = st.text(st.sampled_from("aé"), max_size=12)
STOPS = st.lists(st.text(st.sampled_from("aé"), min_size=1, max_size=4), max_size=3)
MANY = settings(max_examples=300)  # stop texts that overlap are rare
CUTS = st.sets(st.integers(0, 24))


def pieces(whole, cuts: set[int]) -> list:
    """The whole, cut at these places."""
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    return [whole[start:end] for start, end in itertools.pairwise(places)]


def parsed(texts: list[str], stops: list[str], parser: OutputParser) -> Delta:
    stop_texts = StopTexts(stops)
    deltas = [delta for text in texts for delta in parser.feed(stop_texts.feed(text))]
    return joined([*deltas, *parser.feed(stop_texts.end()), *parser.end()])


def generated(tokens: list[bytes], stops: list[str]) -> tuple[Delta, bool]:
    """The message of these tokens, and whether a stop text ended it, after which no token is fed."""
    texts = TokenTexts(lambda ids: b"".join(tokens[token] for token in ids).decode(errors="replace"))
    output = ChoiceOutput(texts, [], Ending(stops), ContentParser())
    deltas: list[Delta] = []
    for token in range(len(tokens)):
        deltas += output.feed(token)
        if output.stopped:
            break
    return joined([*deltas, *output.end()]), output.stopped


@pytest.mark.parametrize("parser", PARSERS)
@MANY
@given(TEXT, STOPS, CUTS)
def test_however_a_text_is_cut_its_deltas_add_up_to_the_same_message(parser, text, stops, cuts):
    assert parsed(pieces(text, cuts), stops, parser()) == parsed([text], stops, parser())


@MANY
@given(TEXT, STOPS, CUTS)
def test_however_a_text_is_cut_into_tokens_it_is_the_same_message(text, stops, cuts):
    whole = text.encode()
    assert generated(pieces(whole, cuts), stops) == generated([whole], stops)


def test_no_delta_is_empty():
    output = ChoiceOutput(TokenTexts(lambda ids: "".join("ab"[i] for i in ids)), [], Ending(["b"]), ContentParser())
    assert [output.feed(0), output.feed(1), output.end()] == [[Delta("a")], [], []]


def test_of_stop_texts_the_first_to_be_complete_counts_though_another_began_before():
    assert parsed(["abc"], ["abc", "b"], ContentParser()) == Delta("a")


def _logged(tokens: list[str], ending: Ending, *, ends: bool = False) -> tuple[list[list[str]], str]:
    """The tokens told after each one and at the end, and the text; the last is an end token where so said."""
    output = ChoiceOutput(TokenTexts(lambda ids: "".join(tokens[i] for i in ids)), [], ending, ContentParser())
    told, deltas = [], []
    for token in range(len(tokens)):
        deltas += output.feed(token, Score(-1.0), ends=ends and token == len(tokens) - 1)
        if output.stopped:
            break
        told.append([each.text for each in output.take_logged(final=False)])
    deltas += output.end()
    told.append([each.text for each in output.take_logged(final=True)])
    return told, joined(deltas).content


def test_a_token_is_told_when_its_text_shows():
    assert _logged(["a", "S", "T", "x", "y"], Ending(["STOP"])) == (
        [["a"], [], [], ["S", "T", "x"], ["y"], []],
        "aSTxy",
    )


def test_tokens_that_wait_are_told_at_the_end():
    assert _logged(["a", "S", "T"], Ending(["STOP"])) == ([["a"], [], [], ["S", "T"]], "aST")


def test_tokens_of_a_stop_text_are_never_told_but_one_that_began_before_it_is():
    assert _logged(["a", "bS", "TOP", "x"], Ending(["STOP"])) == ([["a"], ["bS"], []], "ab")


def test_an_end_tokens_text_does_not_show_unless_it_is_included():
    assert _logged(["a", "END"], Ending(), ends=True) == ([["a"], [], ["END"]], "a")
    assert _logged(["a", "END"], Ending(include=True), ends=True)[1] == "aEND"


def test_stop_texts_count_from_the_token_after_min_tokens_on():
    assert _logged(["S", "a", "S", "b"], Ending(["S"], min_tokens=2))[1] == "Sa"


class Reasoning:
    """A parser whose text is reasoning until a full stop."""

    def __init__(self) -> None:
        self.over = False

    def feed(self, text: str) -> list[Delta]:
        was_over, self.over = self.over, self.over or "." in text
        return [Delta(text) if was_over else Delta(reasoning=text)] if text else []

    def end(self) -> list[Delta]:
        return []


def test_reasoning_tokens_are_those_whose_text_went_to_reasoning():
    tokens = ["a", "S", "T", ".", "c", "d"]
    output = ChoiceOutput(TokenTexts(lambda ids: "".join(tokens[i] for i in ids)), [], Ending(["STOP"]), Reasoning())
    for token in range(len(tokens)):
        output.feed(token)
    output.end()
    assert output.reasoning_tokens == 4
