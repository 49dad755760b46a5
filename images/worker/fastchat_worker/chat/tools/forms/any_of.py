"""Several forms of calls, of which a model may take any."""

from dataclasses import dataclass

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.forms.form import Form, Frame
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps


@dataclass(frozen=True)
class AnyOf:
    """Reads the form that an opening tells, the first of those that have it. A model is made to write the first."""

    first: Form
    second: Form

    @property
    def name(self) -> str:
        return f"{self.first.name} or {self.second.name}"

    @property
    def openings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.first.openings, *self.second.openings)))

    @property
    def bare(self) -> bool:
        return self.first.bare

    def read(self, source: Source, message: Message, opening: str, /) -> Steps[bool]:
        form = self.first if not opening or opening in self.first.openings else self.second
        return (yield from form.read(source, message, opening))

    @property
    def frame(self) -> Frame:
        return self.first.frame

    def rule(self, function: Function, writing: Writing) -> str:
        return self.first.rule(function, writing)
