"""What is read of the JSON of requests, responses and a stream's events. By msgspec's classes, so not compiled."""

from typing import Annotated

import msgspec

_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""Anything else a worker says is as if it had said nothing."""
Value = msgspec.Raw | msgspec.UnsetType


class Request(msgspec.Struct):
    """What is wrong with its other fields is for the worker."""

    model: str
    stream: bool | None = None
    n: Value = msgspec.UNSET
    prompt: Value = msgspec.UNSET
    input: Value = msgspec.UNSET
    stream_options: Value = msgspec.UNSET


class Pairs(msgspec.Struct):
    """The texts that others are matched with, by either of their names."""

    documents: Value = msgspec.UNSET
    text_2: Value = msgspec.UNSET


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Usage(msgspec.Struct):
    """By the names of completions, and by those of the newer APIs: of Anthropic's, what was cached is told apart."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None

    @property
    def prompt(self) -> int | None:
        """Tokens of the prompt."""
        if self.prompt_tokens is not None or self.input_tokens is None:
            return self.prompt_tokens
        return self.input_tokens + (self.cache_creation_input_tokens or 0) + (self.cache_read_input_tokens or 0)

    @property
    def completion(self) -> int | None:
        """Tokens of the completion."""
        return self.completion_tokens if self.completion_tokens is not None else self.output_tokens


class Document(msgspec.Struct):
    usage: Usage | None = None


class Chunk(msgspec.Struct):
    """An event's document, as far as it matters for usage.

    `response`: of the Responses API, whose last one tells it. `message`: of Anthropic's, whose first event tells of the
    prompt.
    """

    usage: Value = msgspec.UNSET
    choices: list[msgspec.Raw] | None = None
    response: Value = msgspec.UNSET
    message: Value = msgspec.UNSET


class Text(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    text: str | None = None
    delta: Text | None = None
    message: Text | None = None


class Answer(msgspec.Struct):
    choices: list[Choice] | None = None


class Generated(msgspec.Struct):
    """Of one choice, as a client has it that lost a stream."""

    tokens: list[Annotated[int, msgspec.Meta(ge=0, lt=2**32)]]
    cached: _Count = 0
    ended: bool = False


class Progress(msgspec.Struct):
    """What such a client says of the stream."""

    created: _Count
    seed: Annotated[str, msgspec.Meta(max_length=64)]
    model: Annotated[str, msgspec.Meta(max_length=256)]
    choices: list[Generated]


request = msgspec.json.Decoder(Request)
progress = msgspec.json.Decoder(Progress)
pairs = msgspec.json.Decoder(Pairs)
stream_options = msgspec.json.Decoder(StreamOptions | None)
usage = msgspec.json.Decoder(Usage)
document = msgspec.json.Decoder(Document)
chunk = msgspec.json.Decoder(Chunk)
answer = msgspec.json.Decoder(Answer)
fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
