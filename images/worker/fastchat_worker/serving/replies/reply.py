"""What every kind of response is made by: the whole document, or one event after another."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastchat.api import Response, Usage
from fastchat_worker.errors import RequestError
from fastchat_worker.output.parser import Delta, joined
from fastchat_worker.serving.generation import Generation, Update


@dataclass(frozen=True)
class Message:
    """All that a choice said, and why it ended: `stop` or `length`.

    deltas: the same in the order it came. stop_text: the one that ended it.
    """

    delta: Delta
    finish: str
    deltas: Sequence[Delta] = ()
    stop_text: str | None = None


class Reply(Protocol):
    """How one kind of completion is written; one for each request, in the order of these methods."""

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        """The whole response; messages by choice."""

    def opening(self, choices: int) -> Iterable[bytes]:
        """Events before the first token."""

    def update(self, update: Update, usage: Callable[[], Usage]) -> Iterable[bytes]:
        """Events of what one choice gained; `usage` gives the tokens so far."""

    def closing(self, usage: Usage) -> Iterable[bytes]:
        """Events after the last token."""

    def error(self, error: RequestError) -> bytes:
        """The event that ends a stream which cannot go on; nothing follows it."""


def event(data: Response, name: str = "") -> bytes:
    """One server-sent event; with `name` it has a type."""
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % data.to_json()


async def document(generation: Generation, reply: Reply) -> Response:
    """The response, once all of it is there. Raises: RequestError where it cannot be had."""
    deltas: list[list[Delta]] = [[] for _ in range(generation.choices)]
    ends: dict[int, Update] = {}
    async for update in generation.updates():
        deltas[update.index] += update.deltas
        ends[update.index] = update
    messages = [
        Message(joined(each), ends[index].finish or "", deltas=each, stop_text=ends[index].stop_text)
        for index, each in enumerate(deltas)
    ]
    return reply.document(messages, generation.usage)


async def events(generation: Generation, reply: Reply) -> AsyncIterator[bytes]:
    """The response as server-sent events."""
    for opening in reply.opening(generation.choices):
        yield opening
    try:
        async for update in generation.updates():
            for each in reply.update(update, lambda: generation.usage):
                yield each
    except RequestError as error:
        yield reply.error(error)
        return
    for closing in reply.closing(generation.usage):
        yield closing
