"""What every kind of response is made by: the whole document, or one event after another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastchat.api import Response, Usage
from fastchat_worker.errors import RequestError
from fastchat_worker.output.logprobs import LoggedToken
from fastchat_worker.output.parser import Delta, joined
from fastchat_worker.serving.generation import Generation, Update


@dataclass(frozen=True)
class Message:
    """All that a choice said, and why it ended: `stop` or `length`. The rest is as in `Update`.

    updates: what it is made of, in order.
    """

    delta: Delta
    finish: str
    tokens: Sequence[int] = ()
    logprobs: Sequence[LoggedToken] = ()
    prompt_logprobs: Sequence[LoggedToken] = ()
    updates: Sequence[Update] = ()
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
    updates: list[list[Update]] = [[] for _ in range(generation.choices)]
    for update in generation.replayed:
        updates[update.index].append(update)
    async for update in generation.updates():
        updates[update.index].append(update)
    messages = [_message(updates[choice]) for choice in generation.returned]
    if generation.has_logprobs:
        return await asyncio.to_thread(reply.document, messages, generation.usage)
    return reply.document(messages, generation.usage)


def repeat(generation: Generation, reply: Reply) -> None:
    """Brings a reply to where the response stood elsewhere, of which the client has every event."""
    list(reply.opening(generation.choices))
    for update in generation.replayed:
        list(reply.update(update, lambda: generation.usage))


async def events(generation: Generation, reply: Reply) -> AsyncIterator[bytes]:
    """The response as server-sent events."""
    for opening in () if generation.resumed else reply.opening(generation.choices):
        yield opening
    try:
        async for update in generation.updates():
            for each in await written(generation, reply, update):
                if not update.had:
                    yield each
    except RequestError as error:
        yield reply.error(error)
        return
    for closing in reply.closing(generation.usage):
        yield closing


async def written(generation: Generation, reply: Reply, update: Update) -> Iterable[bytes]:
    """The events of an update."""
    if not update.prompt_logprobs:
        return reply.update(update, lambda: generation.usage)
    return await asyncio.to_thread(lambda: list(reply.update(update, lambda: generation.usage)))


def _message(updates: Sequence[Update]) -> Message:
    """What the updates of one choice add up to."""
    return Message(
        joined(delta for update in updates for delta in update.deltas),
        updates[-1].finish or "",
        [token for update in updates for token in update.tokens],
        [token for update in updates for token in update.logprobs],
        [token for update in updates for token in update.prompt_logprobs],
        updates,
        updates[-1].stop_text,
    )
