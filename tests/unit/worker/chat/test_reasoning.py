"""Reasoning is told from the answer by each model's marks, however the text is cut."""

import random

import pytest
from support.tools.splits import SPLITS, cut, mutated
from support.tools.texts import FUNCTIONS, WRITTEN

from fastchat_worker.chat.reasoning import MARKS, Reasoning
from fastchat_worker.chat.tools.forms.families import FORMS
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.parser import MessageParser
from fastchat_worker.output.parser import Delta, joined

FORM_NAMES = sorted(set(FORMS) - {"harmony", "functionary_v3"})
"""Those of models whose reasoning has marks; these two have channels."""


def read(reasoning: Reasoning, *pieces: str, form: str | None = None, begun: bool = False, shows: bool = True) -> Delta:
    message = Message(FUNCTIONS, reasons=shows)
    parser = MessageParser(message, FORMS[form] if form else None, reasoning, begun=begun)
    return joined([*(delta for piece in pieces for delta in parser.feed(piece)), *parser.end()])


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_what_stands_between_the_marks_is_reasoning_and_what_follows_the_answer(opening, closing):
    marks = Reasoning(opening, closing)
    assert read(marks, f"{opening}\nHm.\n{closing}\n\nFine.") == Delta("Fine.", "Hm.")
    assert read(marks, f"Hm.\n{closing}\n\nFine.", begun=True) == Delta("Fine.", "Hm.")
    assert read(marks, f"{opening}\nHm.\n{closing}\n\nFine.", shows=False) == Delta("Fine.")


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_deltas_of_any_reasoning_add_up_to_the_same_message_wherever_it_is_cut(opening, closing):
    chance, marks = random.Random(opening), Reasoning(opening, closing)
    bits = (opening, closing, opening[:-1], closing[1:], closing[:2], "\n", " ", "{", "<", "😀")
    for _ in range(SPLITS):
        form = chance.choice((None, *FORM_NAMES))
        text = f"{opening}\nWhat < is [it]?\n{closing}\n\n{WRITTEN[form] if form else 'It is { 5 }.'}"
        text = mutated(text, chance, bits)
        about = {"form": form, "begun": chance.random() < 0.4, "shows": chance.random() < 0.8}
        assert read(marks, *cut(text, chance), **about) == read(marks, text, **about), (text, about)
