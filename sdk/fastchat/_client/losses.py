"""Whether a stream that was lost goes on, and when."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx

from fastchat._client.failures import connection_error
from fastchat._client.progress import Progress
from fastchat._client.retry import backoff
from fastchat.errors import APIStatusError, FastChatError

R = TypeVar("R", httpx.Response, Awaitable[httpx.Response])
_SHUTTING_DOWN = "shutting_down"


@dataclass(frozen=True)
class Again(Generic[R]):
    """How a call is sent once more. most: so often in a row without anything new; 0: never.

    send: takes what the server is to go on from; raises as the call itself does.
    """

    send: Callable[[bytes], R]
    most: int


class Losses:
    """Those of one stream."""

    def __init__(self, progress: Progress, most: int) -> None:
        self._progress = progress
        self._most = most
        self._amount = 0
        self._count = 0

    def delay(self, failure: httpx.HTTPError | FastChatError) -> float:
        """Seconds to wait before the stream goes on.

        Raises:
            FastChatError: the failure, where it does not.
        """
        progress = self._progress
        if progress.amount > self._amount:
            self._amount, self._count = progress.amount, 0
        refused = isinstance(failure, APIStatusError) and failure.code != _SHUTTING_DOWN
        if refused or not progress.is_known or self._count >= self._most:
            if isinstance(failure, httpx.HTTPError):
                raise connection_error(failure) from failure
            raise failure
        self._count += 1
        return backoff(self._count - 1)
