"""What each form's text means, however it is cut. Some 20 s."""

import json
import os
import random
import time

import pytest
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


SPLITS = int(os.environ.get("FASTCHAT_TEST_SPLITS", "150"))
_BITS = ("<tool_call>", "{", "}", "[", "]", '"', "\\", "\n", " ", "<", ">", "é", "😀", ",", "<|", "[TOOL_CALLS]", "```")


def mutated(text: str, chance: random.Random) -> str:
    """The text with something around it, cut off, or spoilt."""
    if chance.random() < 0.3:
        text = chance.choice(("Let me see.\n\n", " ", "{", "a < b, [1]", "<think>\nhm\n</think>\n\n")) + text
    if chance.random() < 0.3:
        text += chance.choice(("\nDone.", " ", "<", "\n\n" + text, "</tool_call>"))
    if chance.random() < 0.2:
        text = text.replace("search", "unknown")
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 5))):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(("", *_BITS)) + text[at + chance.randrange(3) :]
    return text[: chance.randrange(len(text))] if chance.random() < 0.3 else text


def cut(text: str, chance: random.Random) -> list[str]:
    """The text in pieces, up to as many as it has characters."""
    number = chance.choice((1, 2, 5, 20, len(text)))
    places = sorted(chance.randrange(len(text) + 1) for _ in range(number))
    return [text[begin:end] for begin, end in zip((0, *places), (*places, len(text)), strict=True)]


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


def seconds(name: str, text: str, piece: int) -> float:
    pieces = [text[at : at + piece] for at in range(0, len(text), piece)]
    began = time.process_time()
    read(name, *pieces)
    return time.process_time() - began


LONG = int(os.environ.get("FASTCHAT_TEST_LONG", str(2**13)))
HOSTILE = ("{", "[", "<", "\\", " ", '"', "(", ">>>", "<|start|>", "a", "[{", '{"name":')


@pytest.mark.parametrize("name", FORMS)
def test_a_long_text_of_anything_is_read_in_linear_time(name: str):
    form = FORMS[name]
    for begin in ("", *form.openings[:1], WRITTEN[name][:40]):
        for hostile in (*HOSTILE, *form.openings[:1], WRITTEN[name] if not begin else "x"):
            text = begin + hostile * (LONG // len(hostile))
            assert seconds(name, text, 8) < 12e-6 * len(text) + 0.2, hostile
            assert seconds(name, text, len(text)) < 12e-6 * len(text) + 0.2, hostile
