"""What a form of calls is: how a family of models writes them."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.json_text import value
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps

_NAME = re.compile(r"[A-Za-z0-9_.:/-]+")
_COUNTED = re.compile(r"(?:functions\.)?(.+?)(?::\d+)?")


@dataclass(frozen=True)
class Frame:
    """What stands around calls: before the first, between two, after the last. several: there may be two."""

    before: str = ""
    between: str = ""
    after: str = ""
    several: bool = True


class Form(Protocol):
    """How a family of models writes calls. openings: what begins them within a text."""

    @property
    def name(self) -> str: ...

    @property
    def openings(self) -> tuple[str, ...]: ...

    @property
    def bare(self) -> bool:
        """A text may begin with calls that nothing announces."""

    def read(self, source: Source, message: Message, opening: str, /) -> Steps[bool]:
        """Reads the calls that come next; the opening was read. False: what was kept since the last call is none."""

    @property
    def frame(self) -> Frame:
        """What the model is made to write around calls."""

    def rule(self, function: Function, writing: Writing) -> str:
        """What the model is made to write as a call of this function, in Lark's notation."""


def function_name(source: Source, functions: Collection[str]) -> Steps[str]:
    """The name of a function that comes next; empty where none of these does."""
    word = yield from source.word(_NAME)
    if word in functions:
        return word
    counted = _COUNTED.fullmatch(word)  # functions.name:0, as Kimi writes it
    return counted[1] if counted and counted[1] in functions else ""


def streamed(source: Source, message: Message, name: str, closings: Sequence[str]) -> Steps[bool]:
    """A call whose arguments come next, handed on as they come.

    False where they are no JSON: then they are what the model wrote up to its closing, which was read.
    """
    message.call(name)
    following = yield from source.blanks()
    if following != "{" and not closings:
        message.arguments("{}")
        return True
    if following != "{" and (yield from source.literal(*closings)):
        message.arguments("{}")
        return False
    if (yield from value(source, message.arguments)):
        return True
    yield from source.until(closings, message.arguments)
    return False
