"""Streams in units: events, and behind them a comment with what it takes to go on after them."""

from collections.abc import AsyncIterator

from fastchat_worker.errors import RequestError
from fastchat_worker.serving.generation import Generation, HandedOverError, Update
from fastchat_worker.serving.replies.reply import Reply, written

HANDED_OVER = b":h\n\n"
"""The last unit of a stream that is to go on elsewhere."""


async def units(generation: Generation, reply: Reply) -> AsyncIterator[bytes]:
    """The response, a unit at a time. One that goes on where another worker stopped has no opening."""
    if not generation.resumed:
        yield b"".join(reply.opening(generation.choices)) + _opened(generation)
    try:
        async for update in generation.updates():
            events = b"".join(await written(generation, reply, update))
            if not update.had:
                yield events + _gained(update)
    except HandedOverError:
        yield HANDED_OVER
    except RequestError as error:
        yield reply.error(error)
    else:
        yield b"".join(reply.closing(generation.usage))


def _opened(generation: Generation) -> bytes:
    identity = generation.identity
    return b":r %d %016x %b\n\n" % (identity.created, identity.seed, generation.digest.encode())


def _gained(update: Update) -> bytes:
    tokens = ",".join(map(str, update.tokens)) or "-"
    if update.cached is None and not update.finish:
        return b":t %d %b\n\n" % (update.index, tokens.encode())
    cached = "" if update.cached is None else f" c{update.cached}"
    return f":t {update.index} {tokens}{cached}{' .' if update.finish else ''}\n\n".encode()
