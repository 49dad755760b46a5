"""Messages in channels: gpt-oss's harmony, and functionary's recipients. Even without tools they are read this way.

Source: https://github.com/openai/harmony
"""

import re
from dataclasses import dataclass

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.forms.form import Frame, function_name, streamed
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps

_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>")
_RECIPIENT = re.compile(r"to=(?:functions\.)?([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")


@dataclass(frozen=True)
class HarmonyCalls:
    """`<|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>`."""

    name: str
    bare: bool = True
    openings: tuple[str, ...] = ("<|start|>", "<|channel|>", "<|end|>", "<|call|>", "<|return|>")
    others: tuple[str, ...] = ("<|message|>", "<|constrain|>")

    def read(self, source: Source, message: Message, opening: str, /) -> Steps[bool]:
        if opening in _ENDS[:3]:
            return True
        if not opening:
            yield from source.blanks()
            opening = yield from source.literal("to=")
        made = bool(opening)
        while made and opening not in ("", *_ENDS[:3]):
            made, opening = yield from self._section(source, message, opening)
        return made

    def _section(self, source: Source, message: Message, opening: str) -> Steps[tuple[bool, str]]:
        """One header and its text. Returns: whether it was a section, and the mark that ended it."""
        source.keep(opening)
        header = [opening]
        if (yield from source.until(("<|message|>", *_ENDS[:3]), header.append)) != "<|message|>":
            return False, ""
        source.given_back()
        text = "".join(header)
        recipient, channel = _RECIPIENT.search(text), _CHANNEL.search(text)
        if recipient and recipient[1] in message.functions:
            yield from streamed(source, message, recipient[1], _ENDS)
            return True, ""
        thinks = channel is not None and channel[1] == "analysis"
        ended = yield from source.until(_ENDS, message.reasoning if thinks else message.content)
        if thinks:
            message.reasoned()
        return True, ended

    @property
    def frame(self) -> Frame:
        return Frame(several=False)

    def rule(self, function: Function, writing: Writing) -> str:
        before = f"<|channel|>commentary to=functions.{function.name} <|constrain|>json<|message|>"
        return f"{writing.text(before)} {writing.arguments(function)}"  # an end token follows


@dataclass(frozen=True)
class FunctionaryCalls:
    """`>>>name` and a line break before arguments, `>>>all` before text; the prompt ends with the first `>>>`.

    Source: functionary's prompt template v3.
    """

    name: str
    bare: bool = True
    openings: tuple[str, ...] = (">>>",)

    def read(self, source: Source, message: Message, _opening: str, /) -> Steps[bool]:
        if (yield from source.literal("all\n")):
            return True
        name = yield from function_name(source, message.functions)
        if not name or not (yield from source.literal("\n")) or (yield from source.blanks()) != "{":
            return False
        yield from streamed(source, message, name, (">>>",))
        return True

    @property
    def frame(self) -> Frame:
        return Frame(between="\n>>>")

    def rule(self, function: Function, writing: Writing) -> str:
        return f"{writing.text(function.name + chr(10))} {writing.arguments(function)}"
