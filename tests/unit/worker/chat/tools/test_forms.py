"""What each form's text means, however it is cut. Some 20 s."""

import json
import os
import random
import time

import pytest
from support.tools.splits import SPLITS, cut, mutated
from support.tools.texts import CALLS, FUNCTIONS, WRITTEN

from fastchat_worker.chat.reasoning import Reasoning
from fastchat_worker.chat.tools.forms.families import FORMS
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.parser import MessageParser
from fastchat_worker.output.parser import Delta, joined

THINK = Reasoning("<think>", "</think>")
CHANNELS = ("harmony", "functionary_v3")


def read(
    name: str, *pieces: str, reasoning: Reasoning | None = None, begun: bool = False, most: int | None = None
) -> list[Delta]:
    parser = MessageParser(Message(FUNCTIONS, most), FORMS[name], reasoning, begun=begun)
    deltas = [delta for piece in pieces for delta in parser.feed(piece)]
    return [*deltas, *parser.end()]


def calls_of(whole: Delta) -> list[tuple[str | None, object]]:
    return [(call.name, json.loads(call.arguments)) for call in whole.calls]


def test_every_form_has_a_text():
    assert set(WRITTEN) == set(FORMS)


@pytest.mark.parametrize("name", FORMS)
def test_calls_of_each_form_are_read(name: str):
    whole = joined(read(name, WRITTEN[name]))
    assert calls_of(whole) == CALLS
    assert not whole.content


@pytest.mark.parametrize("name", FORMS)
def test_deltas_of_any_text_add_up_to_the_same_message_wherever_it_is_cut(name: str):
    chance = random.Random(name)
    for _ in range(SPLITS):
        text = mutated(WRITTEN[name], chance)
        about = {
            "reasoning": None if name in CHANNELS else chance.choice((None, THINK)),
            "begun": chance.random() < 0.2,
            "most": chance.choice((None, 1)),
        }
        whole = joined(read(name, text, **about))
        deltas = read(name, *cut(text, chance), **about)
        assert joined(deltas) == whole, (text, about)
        assert all(delta.content or delta.reasoning or delta.calls for delta in deltas)


@pytest.mark.parametrize("name", FORMS)
def test_a_text_with_a_valid_call_beside_it_loses_nothing(name: str):
    if name in CHANNELS:
        return
    before, after = "Let me look.", "That is all: <b> [1] {x}."
    whole = joined(read(name, f"{before}\n{WRITTEN[name]}\n{after}"))
    if FORMS[name].openings and name not in ("generic", "llama3_json"):
        assert calls_of(whole) == CALLS
        assert whole.content == before + after


@pytest.mark.parametrize("name", FORMS)
def test_a_text_without_a_call_is_content_as_it_is(name: str):
    text = 'One [of] {these}: "x" <y> `z`\n\n  - a < b\n'
    assert joined(read(name, text)) == Delta(text)


@pytest.mark.parametrize("name", FORMS)
def test_a_call_of_a_function_that_is_not_offered_is_content(name: str):
    if name in CHANNELS:
        return
    text = WRITTEN[name].replace("get_weather", "other").replace("search", "other").replace("now", "other")
    whole = joined(read(name, text))
    assert not whole.calls
    assert "other" in whole.content


def is_quick(name: str, text: str, piece: int) -> bool:
    """Whether a text is read in linear time; one look of three that is quick is enough on a machine that is busy."""
    pieces = [text[at : at + piece] for at in range(0, len(text), piece)]
    for _ in range(3):
        began = time.process_time()
        read(name, *pieces)
        if time.process_time() - began < 12e-6 * len(text) + 0.2:
            return True
    return False


LONG = int(os.environ.get("FASTCHAT_FUZZ_LONG", str(2**11)))  # characters
HOSTILE = ("{", "[", "<", "\\", " ", '"', "(", ">>>", "<|start|>", "a", "[{", '{"name":')


@pytest.mark.parametrize("name", FORMS)
def test_a_long_text_of_anything_is_read_in_linear_time(name: str):
    form = FORMS[name]
    for begin in ("", *form.openings[:1], WRITTEN[name][:40]):
        for hostile in (*HOSTILE, *form.openings[:1], WRITTEN[name] if not begin else "x"):
            text = begin + hostile * (LONG // len(hostile))
            assert is_quick(name, text, 8), hostile
            assert is_quick(name, text, len(text)), hostile
