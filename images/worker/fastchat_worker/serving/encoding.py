"""Texts of one request on their way through an encoder's batches."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from fastchat_worker.encoders.batcher import Batcher, NotFiniteError
from fastchat_worker.encoders.encoder import Name, Vector
from fastchat_worker.encoders.text import Text
from fastchat_worker.engine.scheduler import QueueFullError
from fastchat_worker.errors import RequestError, queue_full, server_error, too_many_tokens
from fastchat_worker.model.measure import MOST_TOKENS

logger = logging.getLogger(__name__)


_GROUP = 64
"""Texts that are read together."""
_GROUP_CHARACTERS = 2**16

T = TypeVar("T")
Read = Callable[[Sequence[T], Name], list[Text]]


def read_in_groups(texts: Sequence[T], name: Name, read: Read[T], max_len: int, param: str) -> list[Text]:
    """All texts read, some at a time, for a tokenizer takes many at once faster.

    Raises: what `read` raises, RequestError 400 about `param` where all have more than `MOST_TOKENS` tokens, or more
    than `max_len` where that is more: the rest is not read then.
    """
    found: list[Text] = []
    left = max(MOST_TOKENS, max_len)
    for first, last in _groups(texts):
        group = read(texts[first:last], _from(first, name))
        left -= sum(len(text.tokens) for text in group)
        if left < 0:
            raise too_many_tokens(MOST_TOKENS, param)
        found += group
    return found


def _from(first: int, name: Name) -> Name:
    """How those from the first on are named."""
    return lambda at: name(first + at)


def _groups(texts: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """From where to where: so many texts that they are not long together."""
    first = characters = 0
    for at, text in enumerate(texts):
        if at > first and (at - first == _GROUP or characters > _GROUP_CHARACTERS):
            yield first, at
            first, characters = at, 0
        characters += sum(map(len, text)) if isinstance(text, tuple) else len(text)
    yield first, len(texts)


async def encode(batcher: Batcher, texts: Sequence[Text], key: str, name: Name) -> list[Vector]:
    """The numbers of each text, queued as those of an API key; `name` is how errors name one of them.

    Raises: RequestError 429 where the queue is full, 500 where the model fails or gives a text no finite numbers.
    """
    try:
        jobs = batcher.submit(texts, key)
    except QueueFullError:
        raise queue_full() from None
    try:
        return await asyncio.gather(*map(asyncio.wrap_future, jobs))
    except NotFiniteError:
        raise _not_finite(name(_first_failed(jobs))) from None
    except Exception:
        logger.exception("a text could not be encoded")
        raise server_error() from None
    finally:
        for job in jobs:
            job.cancel()


def _first_failed(jobs: Sequence["Future[Vector]"]) -> int:
    return next(at for at, job in enumerate(jobs) if job.done() and not job.cancelled() and job.exception())


def _not_finite(name: str) -> RequestError:
    logger.error("the model gave a text no finite numbers")
    return server_error(f"{name}: the model's numbers for this text are not finite.")
