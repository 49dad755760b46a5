"""The stream that chat and completions share: chunks of one type, token counts where asked for, then `[DONE]`."""

from collections.abc import Callable, Iterator
from typing import Any

from fastchat.api import StreamOptions, Usage
from fastchat_worker.errors import RequestError
from fastchat_worker.serving.replies.reply import event

DONE = b"data: [DONE]\n\n"


class Chunks:
    """Writes chunks as events. options: `stream_options` of the request."""

    def __init__(self, options: StreamOptions | None) -> None:
        self._with_usage = bool(options and options.include_usage)
        self._continuous = bool(options and options.continuous_usage_stats)

    def write(self, chunk: Any, usage: Callable[[], Usage]) -> bytes:
        """A chunk with choices; OpenAI sends `usage: null` in it where the last chunk has the counts."""
        if self._continuous:
            chunk.usage = usage()
        elif self._with_usage:
            chunk.usage = None
        return event(chunk)

    def close(self, chunk: Any, usage: Usage) -> Iterator[bytes]:
        """The end of the stream; `chunk` has no choices, and goes out with the token counts where they are wanted."""
        if self._with_usage:
            chunk.usage = usage
            yield event(chunk)
        yield DONE

    def error(self, error: RequestError) -> bytes:
        """After an error no `[DONE]` follows."""
        return b"data: %b\n\n" % error.body
