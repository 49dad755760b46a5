"""What is read of a worker's JSON: whole responses and the events of streams."""

import msgspec

from fastchat_gateway.proxy import shapes
from fastchat_gateway.proxy.shapes import Choice, Chunk, Usage

Tokens = tuple[int, int]
"""Of prompt and completion."""

_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def usage_of(document: bytes) -> Tokens | None:
    """What a whole response says that it used; None where it says nothing that makes sense."""
    try:
        usage = shapes.document.decode(document).usage
    except _NO_JSON:
        return None
    return None if usage is None else _tokens(usage)


def usage(said: bytes, prompt: int | None = None) -> Tokens | None:
    """The value of a field `usage`; None where it makes no sense. `prompt`: its tokens, if they were told before."""
    try:
        return _tokens(shapes.usage.decode(said), prompt)
    except _NO_JSON:
        return None


def response_usage(chunk: Chunk) -> Tokens | None:
    """What an event's `response` tells."""
    return None if isinstance(chunk.response, msgspec.UnsetType) else usage_of(bytes(chunk.response))


def prompt_tokens(chunk: Chunk) -> int | None:
    """What an event's `message` tells of the prompt."""
    told = None if isinstance(chunk.message, msgspec.UnsetType) else usage_of(bytes(chunk.message))
    return told[0] if told else None


def chunk(document: bytes) -> Chunk | None:
    """None where it is no such document."""
    try:
        return shapes.chunk.decode(document)
    except _NO_JSON:
        return None


def text_bytes(document: bytes) -> int | None:
    """Bytes of all text in a response, or in a piece of it; None where it is neither."""
    try:
        choices = shapes.answer.decode(document).choices
    except _NO_JSON:
        return None
    return None if choices is None else sum(map(_text_bytes, choices))


def without(document: bytes, field: str) -> bytes:
    """An object without one of its fields."""
    fields = shapes.fields.decode(document)
    del fields[field]
    return msgspec.json.encode(fields)


def _text_bytes(choice: Choice) -> int:
    texts = [choice.text, *(part.content for part in (choice.delta, choice.message) if part)]
    return sum(len(text.encode()) for text in texts if text)


def _tokens(usage: Usage, before: int | None = None) -> Tokens | None:
    prompt = before if usage.prompt is None and usage.completion is not None else usage.prompt
    return None if prompt is None else (prompt, usage.completion or 0)
