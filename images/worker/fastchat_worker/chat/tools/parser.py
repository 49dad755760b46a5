"""Turns the text of one choice into content, reasoning and calls while it comes."""

from contextlib import suppress

from fastchat_worker.chat.reasoning import Reasoning
from fastchat_worker.chat.tools.forms.form import Form
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.chat.tools.source import Source, Steps
from fastchat_worker.output.parser import Delta


class MessageParser:
    """Reads one message. form: None where no calls are read. begun: the prompt ends within reasoning."""

    def __init__(self, message: Message, form: Form | None, reasoning: Reasoning | None, *, begun: bool) -> None:
        self._message = message
        self._source = Source()
        self._steps = _read(self._source, message, form, reasoning, begun)

    def feed(self, text: str) -> list[Delta]:
        """What is certain once this text is there."""
        if not text:
            return []
        self._source.add(text)
        next(self._steps, None)
        return self._message.taken()

    def end(self) -> list[Delta]:
        """What was held back; no text follows."""
        self._source.ended = True
        with suppress(StopIteration):
            next(self._steps)
        self._message.end()
        return self._message.taken()


def _read(source: Source, message: Message, form: Form | None, reasoning: Reasoning | None, begun: bool) -> Steps[None]:
    if reasoning:
        yield from reasoning.read(source, message, begun=begun)
    if form and form.bare:
        yield from _calls(source, message, form, "")
    openings = form.openings if form else ()
    while opening := (yield from source.until(openings, message.content)):
        if form:
            yield from _calls(source, message, form, opening)


def _calls(source: Source, message: Message, form: Form, opening: str) -> Steps[None]:
    """Reads what an opening announces; where it is no call it is content."""
    source.keep(opening)
    made = yield from form.read(source, message, opening)
    kept = source.given_back()
    if not made:
        message.content(kept)
