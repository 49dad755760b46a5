"""Calls as JSON objects that have the function's name and its arguments: most families."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.forms.form import Frame, streamed
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.json_text import BROKEN, value, whole
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps

_NAMES = ("name", "tool_name", "function")
_ARGUMENTS = ("arguments", "parameters", "args")
_OTHERS = ("type", "id", "tool_call_id")


@dataclass(frozen=True)
class JsonCalls:
    """`{"name": …, "arguments": {…}}`, one after another or in a list.

    opening, closing: what stands around one call, or around the list. keys: those that the model writes.
    """

    name: str
    opening: str = ""
    closing: str = ""
    listed: bool = False
    between: str = "\n"
    keys: tuple[str, str] = ("name", "arguments")
    others: tuple[str, ...] = ()
    """Further openings that are read."""
    ends: tuple[str, ...] = ()
    """Further closings that are read."""
    bare: bool = False

    @property
    def openings(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.opening.strip(), *self.others)))

    def read(self, source: Source, message: Message, _opening: str, /) -> Steps[bool]:
        closings = tuple(filter(None, (self.closing.strip(), *self.ends)))
        yield from source.blanks()
        listed = yield from source.literal("[")
        while True:
            yield from source.blanks()
            if not (yield from call_object(source, message, closings)):
                return False
            source.keep("")
            following = yield from source.blanks()
            separator = yield from source.literal(",", ";")
            if not separator and (listed or following != "{"):
                break
        if listed and (yield from source.literal("]")):
            yield from source.blanks()
        if closings:
            yield from source.closing(*closings)
        return True

    @property
    def frame(self) -> Frame:
        if self.listed:
            return Frame(self.opening + "[", ", ", "]" + self.closing)
        several = bool(self.closing or self.between.strip())
        return Frame(
            self.opening, self.closing + self.between + (self.opening if self.closing else ""), self.closing, several
        )

    def rule(self, function: Function, writing: Writing) -> str:
        # Piece by piece as JSON is read, so that a JSON answer may begin in the same way.
        name, arguments = (json.dumps(key) for key in self.keys)
        pieces = ("{", name, ": ", json.dumps(function.name), ", ", arguments, ": ")
        return f"{' '.join(map(writing.text, pieces))} {writing.arguments(function)} {writing.text('}')}"


def call_object(source: Source, message: Message, closings: Sequence[str]) -> Steps[bool]:
    """The call that comes next as a JSON object. False where none does."""
    if not (yield from source.literal("{")):
        return False
    call = _Call(message, closings)
    while True:
        yield from source.blanks()
        key = yield from _key(source)
        if not key or not (yield from call.member(key, source)):
            return call.made
        yield from source.blanks()
        if not (yield from source.literal(",")):
            break
    if (yield from source.literal("}")):
        call.end()
    return call.made


def _key(source: Source) -> Steps[str]:
    """A key and its colon; empty where none comes."""
    if (yield from source.peek()) != '"':
        return ""
    key = yield from whole(source)
    yield from source.blanks()
    colon = yield from source.literal(":")
    yield from source.blanks()
    return key if colon and key is not BROKEN else ""


class _Call:
    """A call as its members come, in either order."""

    def __init__(self, message: Message, closings: Sequence[str]) -> None:
        self._message = message
        self._closings = closings
        self._name = ""
        self._early = ""  # arguments that came before the name
        self.made = False

    def member(self, key: str, source: Source) -> Steps[bool]:
        """False where this member ends the call, or tells that it is none."""
        following = yield from source.peek()
        if key == "function" and following == "{" and not self._name:
            self.made = yield from call_object(source, self._message, self._closings)
            self._name = "" if not self.made else "done"
            return self.made
        if key in _NAMES and not self._name:
            return self._named((yield from whole(source)))
        if key in _ARGUMENTS and not self.made:
            return (yield from self._arguments(source, following))
        if not self._name and key not in _OTHERS:
            return False
        return (yield from value(source, len))

    def end(self) -> None:
        """The object ends: a call without arguments has none."""
        if self._name and not self.made:
            self._make("{}")

    def _named(self, name: object) -> bool:
        if not isinstance(name, str) or name not in self._message.functions:
            return False
        self._name = name
        if self._early:
            self._make(self._early)
        return True

    def _arguments(self, source: Source, following: str) -> Steps[bool]:
        if self._name and following == "{":
            self.made = True
            return (yield from streamed(source, self._message, self._name, self._closings))
        if following != "{":
            text = _object_of((yield from whole(source)))
        else:
            parts: list[str] = []
            text = "".join(parts) if (yield from value(source, parts.append)) else ""
        if text and self._name:
            self._make(text)
        self._early = text
        return bool(text)

    def _make(self, arguments: str) -> None:
        self.made = True
        self._message.call(self._name)
        self._message.arguments(arguments)


def _object_of(written: object) -> str:
    """Arguments that a model wrote as a string or as null, as the text of an object; empty where they are none."""
    if written is None:
        return "{}"
    if not isinstance(written, str):
        return ""
    try:
        parsed = json.loads(written)
    except (ValueError, RecursionError):
        return ""
    return written.strip() if isinstance(parsed, dict) else ""
