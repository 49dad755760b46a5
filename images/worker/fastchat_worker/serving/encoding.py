"""Texts of one request on their way through an encoder's batches."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from fastchat_worker.encoders.batcher import Batcher, NotFiniteError
from fastchat_worker.encoders.encoder import Vector
from fastchat_worker.encoders.text import Text
from fastchat_worker.engine.scheduler import QueueFullError
from fastchat_worker.errors import RequestError, queue_full, server_error, too_many_tokens
from fastchat_worker.model.measure import MOST_TOKENS

logger = logging.getLogger(__name__)


class Budget:
    """The tokens that all texts of a request may have together: `MOST_TOKENS`, or as many as one text may."""

    def __init__(self, max_len: int, param: str) -> None:
        self._left, self._param = max(MOST_TOKENS, max_len), param

    def take(self, text: Text) -> Text:
        """The text. Raises: RequestError 400 where there are too many tokens with it."""
        self._left -= len(text.tokens)
        if self._left < 0:
            raise too_many_tokens(MOST_TOKENS, self._param)
        return text


async def encode(batcher: Batcher, texts: Sequence[Text], key: str, name_of: Callable[[int], str]) -> list[Vector]:
    """The numbers of each text, queued as those of an API key; `name_of` says how the request names one of them.

    Raises: RequestError 429 where the queue is full, 500 where the model fails or gives a text no finite numbers.
    """
    try:
        jobs = batcher.submit(texts, key)
    except QueueFullError:
        raise queue_full() from None
    try:
        return await asyncio.gather(*map(asyncio.wrap_future, jobs))
    except NotFiniteError:
        raise _not_finite(name_of(_first_failed(jobs))) from None
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
