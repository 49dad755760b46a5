"""Texts cut at random, by which a stream is compared with the whole. `FASTCHAT_FUZZ_SPLITS` says how often."""

import os
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

SPLITS = int(os.environ.get("FASTCHAT_FUZZ_SPLITS", "150"))
"""Random splits of each parser, of each of a model's marks of reasoning and of each tokenizer."""

S = TypeVar("S", str, bytes, list[int])

_BITS = ("<tool_call>", "{", "}", "[", "]", '"', "\\", "\n", " ", "<", ">", "é", "😀", ",", "<|", "[TOOL_CALLS]", "```")
_BEFORE = ("Let me see.\n\n", " ", "{", "a < b, [1]", "<think>\nhm\n</think>\n\n")


def mutated(text: str, chance: random.Random, bits: Sequence[str] = _BITS) -> str:
    """The text with something around it, cut off, or spoilt with these bits."""
    if chance.random() < 0.3:
        text = chance.choice(_BEFORE) + text
    if chance.random() < 0.3:
        text += chance.choice(("\nDone.", " ", "<", "\n\n" + text, "</tool_call>"))
    if chance.random() < 0.2:
        text = text.replace("search", "unknown")
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 5))):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(("", *bits)) + text[at + chance.randrange(3) :]
    return text[: chance.randrange(len(text))] if chance.random() < 0.3 else text


def cut(whole: S, chance: random.Random) -> list[S]:
    """The whole in pieces, some of them empty, up to as many as it is long."""
    number = chance.choice((1, 2, 5, 20, len(whole)))
    places: list[int] = sorted(chance.randrange(len(whole) + 1) for _ in range(number))
    return [whole[begin:end] for begin, end in pairwise((0, *places, len(whole)))]
