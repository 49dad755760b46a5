"""Calls as a function's name with its arguments as JSON after it."""

import re
from dataclasses import dataclass, field

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.forms.form import Frame, function_name, streamed
from fastchat_worker.chat.tools.forms.json_calls import JsonCalls
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps

_CALL_ID = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class NamedCalls:
    """A name, then an object.

    section: what stands before the first call and after the last. opening: before a name; kinds: what may stand between
    opening and name. separator: between name and arguments; separators: what may stand there too, and may be missing.
    """

    name: str
    opening: str
    separator: str
    closing: str = ""
    section: tuple[str, str] = ("", "")
    kinds: tuple[str, ...] = ()
    separators: tuple[str, ...] = ()
    fence: str = ""
    line: str = ""
    prefix: str = ""
    """What the model writes before a function's own name."""
    bare: bool = False

    @property
    def openings(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.opening, *(each.strip() for each in self.section))))

    def read(self, source: Source, message: Message, opening: str, /) -> Steps[bool]:
        if opening != self.opening and opening:
            return True  # a section's beginning or end
        yield from source.blanks()
        if self.kinds:
            yield from source.literal(*self.kinds)
        name = yield from function_name(source, message.functions)
        if not name or not (yield from self._separated(source)):
            return False
        valid = yield from streamed(source, message, name, self._closings)
        source.keep("")
        if valid:
            yield from self._closed(source)
        return True

    @property
    def _closings(self) -> tuple[str, ...]:
        return (self.closing,) if self.closing else ()

    def _separated(self, source: Source) -> Steps[bool]:
        """Whether arguments follow a name, or nothing does."""
        separators = tuple(filter(None, (self.separator.strip(), *self.separators)))
        following = yield from source.blanks()
        while separators and (yield from source.literal(*separators)):
            following = yield from source.blanks()
        if following == "{":
            return True
        if not self.closing:
            return False
        return following == self.closing[0]

    def _closed(self, source: Source) -> Steps[None]:
        yield from source.blanks()
        if self.fence and (yield from source.closing(self.fence)):
            yield from source.blanks()
        if self.closing:
            yield from source.closing(self.closing)

    @property
    def frame(self) -> Frame:
        begins, ends = self.section
        opening = f"{self.opening}{self.kinds[0] if self.kinds else ''}{self.prefix}"
        closing = (f"\n{self.fence}" if self.fence else "") + self.closing
        return Frame(begins + opening, f"{closing}{self.line}{opening}", closing + ends)

    def rule(self, function: Function, writing: Writing) -> str:
        return f"{writing.text(function.name + self.separator)} {writing.arguments(function)}"


@dataclass(frozen=True)
class MistralCalls:
    """`[TOOL_CALLS]` before a list of objects, as Mistral's first tool models write it, or before each name.

    named: the second. Source: mistral-common's tokenizers v3 and v11.
    """

    name: str
    named: bool
    bare: bool = False
    openings: tuple[str, ...] = ("[TOOL_CALLS]",)
    _list: JsonCalls = field(default=JsonCalls("", "[TOOL_CALLS]", listed=True), repr=False)

    def read(self, source: Source, message: Message, opening: str, /) -> Steps[bool]:
        if (yield from source.blanks()) in ("[", "{"):
            return (yield from self._list.read(source, message, opening))
        name = yield from function_name(source, message.functions)
        yield from source.blanks()
        if name and (yield from source.literal("[CALL_ID]")):
            yield from source.word(_CALL_ID)
        yield from source.literal("[ARGS]")
        if not name or (yield from source.blanks()) != "{":
            return False
        yield from streamed(source, message, name, ())
        return True

    @property
    def frame(self) -> Frame:
        return Frame("[TOOL_CALLS]", "[TOOL_CALLS]") if self.named else self._list.frame

    def rule(self, function: Function, writing: Writing) -> str:
        if not self.named:
            return self._list.rule(function, writing)
        return f"{writing.text(f'{function.name}[ARGS]')} {writing.arguments(function)}"
