"""From bytes to calls: the tokens of a choice, cut anywhere, say what they say as one.

A token here is any run of bytes, also within a character; some are none of any.
"""

import random

import pytest
from support.tools.splits import SPLITS, cut, mutated
from support.tools.texts import FUNCTIONS, WRITTEN

from fastchat_worker.chat.reasoning import MARKS, Reasoning
from fastchat_worker.chat.tools.forms.families import FORMS
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.parser import MessageParser
from fastchat_worker.output.choice import ChoiceOutput, Ending
from fastchat_worker.output.parser import Delta, joined
from fastchat_worker.output.tokens import TokenTexts

Read = tuple[Delta, str | None]
"""The message, and the stop text that ended it."""


def generated(tokens: list[bytes], parser: MessageParser, ending: Ending) -> Read:
    """What these tokens say."""
    texts = TokenTexts(lambda ids: b"".join(tokens[id_] for id_ in ids).decode(errors="replace"))
    output = ChoiceOutput(texts, [], ending, parser)
    deltas: list[Delta] = []
    for token in range(len(tokens)):
        deltas += output.feed(token)
        if output.stopped:
            break
    return joined([*deltas, *output.end()]), output.stop_text


def parser(form: str, reasoning: Reasoning | None) -> MessageParser:
    return MessageParser(Message(FUNCTIONS), FORMS[form], reasoning, begun=False)


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """The bytes, of which one in three texts has some that are no text."""
    while data and chance.random() < 0.3:
        at = chance.randrange(len(data))
        data = data[:at] + chance.choice((b"\xff", b"\xe2\x80", b"\xc3", b"")) + data[at + chance.randrange(2) :]
    return data


@pytest.mark.parametrize("name", FORMS)
def test_tokens_add_up_to_the_same_message_wherever_its_bytes_are_cut(name: str):
    chance = random.Random(name)
    for _ in range(SPLITS):
        opening, closing = chance.choice(MARKS)
        thinks = chance.random() < 0.3
        text = mutated((f"{opening}héhé 🦙{closing}" if thinks else "") + WRITTEN[name], chance)
        data = spoilt(text.encode(), chance)
        stops = chance.sample(("Done.", "\n\n", "</", "a\nb", "🦙", "é", "<|end|>"), chance.choice((0, 0, 1, 2)))
        ending = Ending(stops, include=chance.random() < 0.3)

        marks = Reasoning(opening, closing) if thinks else None
        whole = generated([data], parser(name, marks), ending)
        assert generated(cut(data, chance), parser(name, marks), ending) == whole, (data, stops)
