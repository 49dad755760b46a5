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
