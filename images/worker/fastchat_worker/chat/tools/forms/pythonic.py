"""Calls as Python writes them: `[f(a=1, b="x"), g()]`."""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.forms.form import Frame, function_name
from fastchat_worker.chat.tools.forms.json_calls import call_object
from fastchat_worker.chat.tools.forms.schemas import is_json, properties
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps

_KEYWORD = re.compile(r"\w+")
_PLAIN = re.compile(r"""[^"'\\()\[\]{},]+""")
_IN_STRING = re.compile(r"""[^"'\\]+""")
_JSON_NAMES = {"true": True, "false": False, "null": None}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = frozenset("\n\\'\"abfnrtvxuUN01234567")  # a backslash before another character is one
_DEEPEST = 50
_CLOSES = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True)
class PythonicCalls:
    """Calls in a list, or one in a line. opening, closing: what stands around them all."""

    name: str
    opening: str = ""
    closing: str = ""
    listed: bool = True
    bare: bool = False

    @property
    def openings(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.opening.strip(),)))

    def read(self, source: Source, message: Message, opening: str, /) -> Steps[bool]:
        yield from source.blanks()
        listed = yield from source.literal("[")
        if not listed and not opening:
            return False
        while True:
            is_json = (yield from source.blanks()) == "{"  # templates of LFM2 write earlier calls so
            made = (yield from call_object(source, message, ())) if is_json else (yield from _call(source, message))
            if not made:
                return False
            source.keep("")
            following = yield from source.blanks()
            separator = yield from source.literal(",", ";")
            if not separator and (listed or following in ("", "<", "]")):
                break
        if listed and (yield from source.literal("]")):
            yield from source.blanks()
        if self.closing:
            yield from source.closing(self.closing.strip())
        return True

    @property
    def frame(self) -> Frame:
        before, between, after = ("[", ", ", "]") if self.listed else ("", "\n", "")
        return Frame(self.opening + before, between, after + self.closing)

    def rule(self, function: Function, writing: Writing) -> str:
        parts: list[str] = []
        needed = False
        for each in properties(writing.schema(function)):
            comma = '", " ' if needed else ""
            written = f"{comma}{writing.text(each.name + '=')} {writing.json(each.schema)}"
            if each.required or not parts:
                parts.append(written)
                needed = True
            else:
                parts.append(f"({written})?")
        return f'{writing.text(function.name + "(")} {" ".join(parts)} ")"'


def _call(source: Source, message: Message) -> Steps[bool]:
    """The call that comes next. False where none does."""
    name = yield from function_name(source, message.functions)
    if not name or not (yield from source.literal("(")):
        return False
    if (yield from source.blanks()) == ")":
        yield from source.literal(")")
        message.call(name)
        message.arguments("{}")
        return True
    return (yield from _arguments(source, message, name))


def _arguments(source: Source, message: Message, name: str) -> Steps[bool]:
    """Those of a call whose bracket was read, each handed on when it is whole. False: the first is none."""
    before = "{"
    while True:
        yield from source.blanks()
        key = yield from source.word(_KEYWORD)
        yield from source.blanks()
        equals = yield from source.literal("=")
        written = (yield from _value(source)) if key and equals else None
        argument = None if written is None else _as_json(written)
        if argument is None:
            return before != "{"
        if before == "{":
            message.call(name)
            source.keep("")
        message.arguments(f"{before}{json.dumps(key, ensure_ascii=False)}: {argument}")
        before = ", "
        comma = yield from source.literal(",")
        if (yield from source.blanks()) == ")":
            yield from source.literal(")")
            message.arguments("}")
            return True
        if not comma:
            return True


def _value(source: Source) -> Steps[str | None]:
    """The text of the value that comes next, up to the comma or bracket after it. None where it has no end."""
    parts: list[str] = []
    brackets: list[str] = []
    while True:
        parts.append((yield from source.word(_PLAIN, 1 << 30)))
        character = yield from source.peek()
        if not character:
            return None
        if not brackets and character in ",)":
            return "".join(parts)
        if character in "\"'":
            parts.append((yield from _string(source)))
            continue
        source.take(1)
        parts.append(character)
        if character in "([{":
            brackets.append(character)
        elif character in _CLOSES and (not brackets or brackets.pop() != _CLOSES[character]):
            return None
        if len(brackets) > _DEEPEST:
            return None


def _string(source: Source) -> Steps[str]:
    """A string with its quotes, as far as it goes."""
    quote = yield from source.literal('"""', "'''", '"', "'")
    parts = [quote]
    while True:
        parts.append((yield from source.word(_IN_STRING, 1 << 30)))
        if (yield from source.literal(quote)):
            return "".join([*parts, quote])
        character = yield from source.peek()
        if not character:
            return "".join(parts)
        parts.append(source.take(1))
        if character == "\\":
            yield from source.peek()
            parts.append(source.take(1))


def _as_json(written: str) -> str | None:
    """A Python or JSON literal as JSON. None where it is neither, or has no JSON."""
    text = written.strip()
    if is_json(text):
        return text
    for read in (_python, _python_in_a_line):
        try:
            return json.dumps(read(text), ensure_ascii=False, allow_nan=False)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _python(text: str) -> Any:
    escaped = _ESCAPE.sub(lambda found: found[0] if found[1] in _ESCAPED else "\\" + found[0], text)
    return ast.literal_eval(_JsonNames().visit(ast.parse(escaped, mode="eval")))


def _python_in_a_line(text: str) -> Any:
    """With the line breaks that models write into strings."""
    return _python(text.replace("\n", "\\n"))


class _JsonNames(ast.NodeTransformer):
    """JSON's true, false and null within Python's literals."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        names: Mapping[str, Any] = _JSON_NAMES
        return ast.Constant(names[node.id]) if node.id in names else node
