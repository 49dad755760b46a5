"""Calls whose arguments stand in tags of their own: Qwen3-Coder, GLM, MiniMax, Seed, DeepSeek 3.2."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.forms.form import Frame, function_name
from fastchat_worker.chat.tools.forms.schemas import Property, constants, from_text, properties, types
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps


@dataclass(frozen=True)
class TaggedCalls:
    """An argument at a time. Each pair is what stands before something and after it.

    section: the calls. call: one call, and function: its name. key, value: an argument; where the key's end is followed
    by the value, value[0] is empty. line: what stands between them when a model is made to write a call.
    kinds: what the end of a key may say of the value, as DeepSeek does: whether it is a string.
    """

    name: str
    section: tuple[str, str]
    function: tuple[str, str]
    key: tuple[str, str]
    value: tuple[str, str]
    call_end: str = ""
    line: str = "\n"
    padded: bool = True
    """Values have a line break before and after them."""
    string_kind: str = ""
    other_kind: str = ""
    bare: bool = False

    @property
    def openings(self) -> tuple[str, ...]:
        begins, ends = self.section
        return tuple(dict.fromkeys(filter(None, (begins, self.function[0], ends))))

    def read(self, source: Source, message: Message, opening: str, /) -> Steps[bool]:
        begins, ends = self.section
        if opening == ends:
            return True
        if opening == begins and self.function[0]:
            yield from source.blanks()
            if not (yield from source.literal(self.function[0])):
                return False
        yield from source.blanks()
        name = yield from function_name(source, message.functions)
        if not name or not (yield from self._name_ends(source)):
            return False
        message.call(name)
        source.keep("")
        yield from self._arguments(source, message, _schemas(message, name))
        return True

    def _name_ends(self, source: Source) -> Steps[bool]:
        following = yield from source.blanks()
        if self.function[1]:
            return bool((yield from source.literal(self.function[1])))
        return following in ("", "<")

    def _arguments(self, source: Source, message: Message, schemas: Mapping[str, Mapping[str, Any]]) -> Steps[None]:
        before = "{"
        while True:
            yield from source.blanks()
            if not (yield from source.literal(self.key[0])):
                break
            argument = yield from self._argument(source, schemas)
            if argument is None:
                return
            message.arguments(before + argument)
            before = ", "
        message.arguments("{}" if before == "{" else "}")
        for end in (self.call_end, self.section[1]):
            if end:
                yield from source.blanks()
                yield from source.closing(end)

    def _argument(self, source: Source, schemas: Mapping[str, Mapping[str, Any]]) -> Steps[str | None]:
        """`"key": value`. None where the text ends before it does."""
        key: list[str] = []
        ends = [end for end in (self.string_kind, self.other_kind) if end] or [self.key[1]]
        kind = yield from source.until(ends, key.append)
        if kind and self.value[0]:
            yield from source.blanks()
            yield from source.literal(self.value[0])
        written: list[str] = []
        if not kind or not (yield from source.until((self.value[1],), written.append)):
            return None
        name, text = "".join(key).strip(), "".join(written)
        if self.padded:
            text = text.removeprefix("\n").removesuffix("\n")
        schema = {"type": "string"} if kind == self.string_kind else schemas.get(name, {})
        return f"{json.dumps(name, ensure_ascii=False)}: {from_text(text, schema)}"

    @property
    def frame(self) -> Frame:
        begins, ends = self.section
        if self.call_end and self.string_kind:  # one section around all calls
            return Frame(f"{begins}{self.line}", self.line, f"{self.line}{ends}")
        return Frame(begins + self.line, f"{self.line}{ends}\n{begins}{self.line}", self.line + ends)

    def rule(self, function: Function, writing: Writing) -> str:
        parts = [writing.text(f"{self.function[0]}{function.name}{self.function[1]}")]
        for each in properties(writing.schema(function)):
            written = self._rule(each, writing)
            parts.append(written if each.required else f"({written})?")
        parts.append(writing.text(self.line + self.call_end) if self.call_end else "")
        return " ".join(filter(None, parts))

    def _rule(self, each: Property, writing: Writing) -> str:
        kind = (self.string_kind if types(each.schema) == {"string"} else self.other_kind) or self.key[1]
        pad = "\n" if self.padded else ""
        between = self.line if self.value[0] and not self.padded else ""
        before = f"{self.line}{self.key[0]}{each.name}{kind}{between}{self.value[0]}{pad}"
        after = f"{pad}{self.value[1]}"
        if types(each.schema) != {"string"}:
            return f"{writing.text(before)} {writing.json(each.schema)} {writing.text(after)}"
        if texts := constants(each.schema):
            choices = " | ".join(writing.text(str(text)) or '""' for text in texts)
            return f"{writing.text(before)} ({choices}) {writing.text(after)}"
        return f"{writing.text(before)} {writing.string(each.schema, self.value[1])}"


def _schemas(message: Message, name: str) -> Mapping[str, Mapping[str, Any]]:
    return {each.name: each.schema for each in properties(message.functions[name].parameters or {})}
