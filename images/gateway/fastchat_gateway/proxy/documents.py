"""What is read of a worker's JSON: whole responses and the events of streams. By msgspec's classes, so not compiled."""

from typing import Annotated

import msgspec

Tokens = tuple[int, int]
"""Of prompt and completion."""

_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""Anything else a worker says is as if it had said nothing."""


class _Usage(msgspec.Struct):
    prompt_tokens: _Count
    completion_tokens: _Count | None = None


class _Document(msgspec.Struct):
    usage: _Usage | None = None


class Chunk(msgspec.Struct):
    """An event's document, as far as it matters for usage."""

    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    choices: list[msgspec.Raw] | None = None

    @property
    def said(self) -> bytes | None:
        """The value of its `usage`; None where it has no such field."""
        return None if isinstance(self.usage, msgspec.UnsetType) else bytes(self.usage)


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    delta: _Text | None = None
    message: _Text | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None


_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_usage = msgspec.json.Decoder(_Usage)
_document = msgspec.json.Decoder(_Document)
_chunk = msgspec.json.Decoder(Chunk)
_answer = msgspec.json.Decoder(_Answer)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def usage_of(document: bytes) -> Tokens | None:
    """What a whole response says that it used; None where it says nothing that makes sense."""
    try:
        usage = _document.decode(document).usage
    except _NO_JSON:
        return None
    return None if usage is None else _tokens(usage)


def usage(said: bytes) -> Tokens | None:
    """The value of a field `usage`; None where it makes no sense."""
    try:
        return _tokens(_usage.decode(said))
    except _NO_JSON:
        return None


def chunk(document: bytes) -> Chunk | None:
    """None where it is no such document."""
    try:
        return _chunk.decode(document)
    except _NO_JSON:
        return None


def text_bytes(document: bytes) -> int | None:
    """Bytes of all text in a response, or in a piece of it; None where it is neither."""
    try:
        choices = _answer.decode(document).choices
    except _NO_JSON:
        return None
    return None if choices is None else sum(map(_text_bytes, choices))


def without(document: bytes, field: str) -> bytes:
    """An object without one of its fields."""
    fields = _fields.decode(document)
    del fields[field]
    return msgspec.json.encode(fields)


def _text_bytes(choice: _Choice) -> int:
    texts = [choice.text, *(part.content for part in (choice.delta, choice.message) if part)]
    return sum(len(text.encode()) for text in texts if text)


def _tokens(usage: _Usage) -> Tokens:
    return usage.prompt_tokens, usage.completion_tokens or 0
