"""Messages by a tokenizer's own response_template. Some seconds."""

import json
import random

import pytest
from support.tools.splits import SPLITS, cut, mutated
from support.tools.texts import CALLS, FUNCTIONS, SEARCH, WEATHER

from fastchat_worker.chat.tools.declared import DeclaredParser, declared
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.errors import LoadError
from fastchat_worker.output.parser import Delta, joined

FIELDS = {
    "reasoning_content": {"open": "<hm>", "close": "</hm>"},
    "tool_calls": {
        "open_pattern": r"\s*<call>",
        "close": "</call>",
        "repeats": True,
        "content": "json",
        "transform": {"type": "function", "function": "{content}"},
    },
    "content": {"close_pattern": r"\s*(?:<\|end\|>)"},
}
SPEC = {"defaults": {"role": "assistant"}, "start_anchor": "<|assistant|>", "fields": FIELDS}
WRITTEN = "".join(f"\n<call>{json.dumps({'name': name, 'arguments': arguments})}</call>" for name, arguments in CALLS)


class Tokenizer:
    def __init__(self, spec: object) -> None:
        self.response_template = spec


def read(*pieces: str, prompt: str = "<|assistant|>") -> Delta:
    template = declared(Tokenizer(SPEC))
    assert template
    parser = DeclaredParser(template, Message(FUNCTIONS), prompt, [WEATHER, SEARCH])
    return joined([*(delta for piece in pieces for delta in parser.feed(piece)), *parser.end()])


def test_content_reasoning_and_calls_are_told_apart():
    whole = read(f"<hm>\nWell.\n</hm>Let me see.{WRITTEN}<|end|>")
    assert (whole.content, whole.reasoning) == ("Let me see.", "Well.")
    assert [(call.name, json.loads(call.arguments)) for call in whole.calls] == CALLS


def test_reasoning_that_the_prompt_opens_goes_on():
    assert read("Well.</hm>Yes.", prompt="<|user|>?<|assistant|><hm>") == Delta("Yes.", "Well.")


@pytest.mark.parametrize("call", ["<call>{no JSON}</call>", '<call>{"name": "other", "arguments": {}}</call>'])
def test_what_is_no_call_stays_content(call):
    whole = read(f"a{call}b")
    assert not whole.calls
    assert call.removeprefix("<call>").removesuffix("</call>") in whole.content


def test_deltas_of_any_text_add_up_to_the_same_message_wherever_it_is_cut():
    chance = random.Random(1)
    bits = ("<hm>", "</hm>", "<call>", "</call>", "<call", "<|end|>", "{", "\n", " ", "<", "é")
    texts = (f"<hm>\nWell.\n</hm>Let me see.{WRITTEN} <|end|>", f"a < b\n\n{WRITTEN}x<call>{{broken</call>", "<hm>only")
    for _ in range(SPLITS):
        text = mutated(chance.choice(texts), chance, bits)
        assert read(*cut(text, chance)) == read(text), text


def test_a_broken_description_is_refused_at_load():
    with pytest.raises(LoadError, match="response_template"):
        declared(Tokenizer({"version": 7}))
