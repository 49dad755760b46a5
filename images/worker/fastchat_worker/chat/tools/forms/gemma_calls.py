"""Calls as Gemma 4 writes them: `call:f{city:<|"|>Oslo<|"|>,days:2}`.

Source: the model's chat template.
"""

import json
import re
from dataclasses import dataclass

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.forms.form import Frame, function_name
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.json_text import value
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Emit, Source, Steps

_QUOTE = '<|"|>'
_KEY = re.compile(r"[^\s:{}\[\],<>\"]+")
_DEEPEST = 50


@dataclass(frozen=True)
class GemmaCalls:
    """Keys have no quotes, strings marks of their own; JSON is read too, and is what the model is made to write."""

    name: str
    bare: bool = False
    openings: tuple[str, ...] = ("<|tool_call>",)
    closing: str = "<tool_call|>"
    quote: str = _QUOTE

    def read(self, source: Source, message: Message, _opening: str, /) -> Steps[bool]:
        yield from source.blanks()
        if not (yield from source.literal("call:")):
            return False
        name = yield from function_name(source, message.functions)
        if not name or (yield from source.blanks()) != "{":
            return False
        message.call(name)
        source.keep("")
        if (yield from _value(source, message.arguments, 0)):
            yield from source.blanks()
            yield from source.closing(self.closing)
        else:
            yield from source.until((self.closing,), message.arguments)
        return True

    @property
    def frame(self) -> Frame:
        return Frame("<|tool_call>call:", f"{self.closing}<|tool_call>call:", self.closing)

    def rule(self, function: Function, writing: Writing) -> str:
        return f"{writing.text(function.name)} {writing.arguments(function)}"


def _value(source: Source, emit: Emit, depth: int) -> Steps[bool]:
    """Hands on the value that comes next as JSON. False where it breaks."""
    character = yield from source.blanks()
    if depth > _DEEPEST:
        return False
    if character in ("{", "["):
        return (yield from _members(source, emit, depth, character))
    if character != "<":
        return (yield from value(source, emit))
    if not (yield from source.literal(_QUOTE)):
        return False
    emit('"')
    closed = yield from source.until((_QUOTE,), lambda text: emit(json.dumps(text, ensure_ascii=False)[1:-1]))
    if closed:
        emit('"')
    return bool(closed)


def _members(source: Source, emit: Emit, depth: int, bracket: str) -> Steps[bool]:
    """An object or a list."""
    end = "}" if bracket == "{" else "]"
    emit((yield from source.literal(bracket)))
    before = ""
    while (yield from source.blanks()) != end:
        if before and not (yield from source.literal(",")):
            return False
        emit(before)
        before = ", "
        yield from source.blanks()
        if bracket == "{" and not (yield from _key(source, emit)):
            return False
        if not (yield from _value(source, emit, depth + 1)):
            return False
    emit((yield from source.literal(end)))
    return True


def _key(source: Source, emit: Emit) -> Steps[bool]:
    """A key, quoted in one way or none, and its colon."""
    following = yield from source.peek()
    if following in ('"', "<"):
        named = yield from _value(source, emit, 0)
    else:
        key = yield from source.word(_KEY)
        emit(json.dumps(key, ensure_ascii=False) if key else "")
        named = bool(key)
    yield from source.blanks()
    if not named or not (yield from source.literal(":")):
        return False
    emit(": ")
    return True
