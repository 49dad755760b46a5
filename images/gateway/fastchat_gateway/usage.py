"""What an answer used: read wherever its worker says it, estimated from its bytes where none did.

Inside a JSON string quotes are escaped, so that no text of a model looks like the field `"usage"`.
"""

import re
from typing import Annotated

import msgspec

Tokens = tuple[int, int]
"""Of prompt and answer."""

FIELD = b'"usage"'
_BYTES_PER_TOKEN = 4
_LONGEST = 4096
"""Bytes from the field's name to the end of its value, where an answer is searched and not parsed."""
_TRIES = 8
_OBJECT = re.compile(rb'"usage"\s*:\s*\{')
_WHOLE_OBJECT = re.compile(rb'"usage"\s*:\s*(\{(?:[^{}]++|\{[^{}]*+\})*+\})')
_NULL = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,?\s*')

_EVENT = re.compile(rb"data:([^\r\n]*)(?:\r\n\r\n|\n\n)")
_DONE = b"data: [DONE]\n\n"

_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""Anything else a worker says is as if it had said nothing."""


class _Usage(msgspec.Struct):
    prompt_tokens: _Count
    completion_tokens: _Count | None = None


class _Document(msgspec.Struct):
    usage: _Usage | None = None


class _Chunk(msgspec.Struct):
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    choices: list[msgspec.Raw] | None = None


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
_chunk = msgspec.json.Decoder(_Chunk)
_answer = msgspec.json.Decoder(_Answer)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def of_document(body: bytes) -> Tokens | None:
    """What a whole answer says; None where it says nothing that makes sense."""
    try:
        usage = _document.decode(body).usage
    except _NO_JSON:
        return None
    return None if usage is None else _tokens(usage)


class Search:
    """Finds usage in an answer that comes in parts and is not kept: wherever it stands, however it is cut."""

    def __init__(self) -> None:
        self.found: Tokens | None = None
        self._rest = b""

    def feed(self, part: bytes) -> None:
        """The last one that makes sense counts."""
        window = self._rest + part
        last = at = window.rfind(FIELD)
        for _ in range(_TRIES):
            if at < 0 or self._read(window, at):
                break
            at = window.rfind(FIELD, 0, at)
        keeps = last >= 0 and len(window) - last <= _LONGEST
        self._rest = window[last:] if keeps else window[1 - len(FIELD) :]

    def _read(self, window: bytes, at: int) -> bool:
        match = _WHOLE_OBJECT.match(window, at, at + _LONGEST)
        tokens = None if match is None else _said(match[1])
        self.found = tokens or self.found
        return tokens is not None


class StreamUsage:
    """Reads usage off the events of a stream; `hidden`: the client did not ask for it, and does not get it."""

    def __init__(self, *, hidden: bool) -> None:
        self.hidden = hidden
        self.found: Tokens | None = None
        self.is_cut = False
        """What was read last ended in the middle of an event, for it is longer than events are kept."""
        self._search: Search | None = None

    def concerns(self, data: bytes) -> bool:
        """There is something to `read` in events that have the field."""
        return self.hidden or _OBJECT.search(data) is not None

    def read(self, events: bytes) -> bytes:
        """Note what events say; returns those that the client gets."""
        end = b"\r\n\r\n" if b"\r\n\r\n" in events else b"\n\n"
        *whole, rest = events.split(end)
        kept: list[bytes] = []
        for event in whole:
            given = self._read(event)
            if given is not None:
                kept += given, end
        if rest:
            self._look(rest)
        self.is_cut = bool(rest)
        return b"".join(kept) + rest

    def _read(self, event: bytes) -> bytes | None:
        if self.is_cut:
            self.is_cut = False
            self._look(event)
            return event
        if FIELD not in event:
            return event
        start = event.find(b"data:") + len(b"data:")
        try:
            chunk = _chunk.decode(event[start:])
        except _NO_JSON:
            self._look(event)
            return event
        if isinstance(chunk.usage, msgspec.UnsetType):
            return event
        said = bytes(chunk.usage)
        self.found = _said(said) or self.found
        if not self.hidden:
            return event
        if said == b"null":
            return _without_null(event, start)
        return event if chunk.choices else None

    def _look(self, event: bytes) -> None:
        """It is a part of one, or no JSON."""
        search = self._search = self._search or Search()
        search.feed(event)
        self.found = search.found or self.found


def of_text(body: bytes) -> int:
    """Tokens of a whole answer that does not say it: four bytes of its text are one."""
    text = _text(body)
    return of_bytes(len(body) if text is None else text)


def of_events(sent: int, events: int, first: bytes, last: bytes) -> int:
    """Tokens of a stream that did not say it, or not yet: each event has one, or more where its text is longer.

    `sent`: bytes of all events; `first`: where they begin, which tells how much of an event is not text; `last`: where
    they end.
    """
    event = _EVENT.search(first)
    text = _text(event[1]) or 0 if event else 0
    frame = len(event[0]) - text if event else 0
    if _DONE in last:
        events, sent = events - 1, sent - len(_DONE)
    opening = 0 if text else 1
    return max(events - opening, of_bytes(sent - events * frame), 0)


def of_bytes(size: int) -> int:
    """Tokens of so many bytes of text."""
    return -(-size // _BYTES_PER_TOKEN)


def _text(document: bytes) -> int | None:
    """Bytes of all text in an answer, or in a piece of it; None where it is neither."""
    try:
        choices = _answer.decode(document).choices
    except _NO_JSON:
        return None
    return None if choices is None else sum(map(_text_bytes, choices))


def _text_bytes(choice: _Choice) -> int:
    texts = [choice.text, *(part.content for part in (choice.delta, choice.message) if part)]
    return sum(len(text.encode()) for text in texts if text)


def _said(usage: bytes) -> Tokens | None:
    try:
        return _tokens(_usage.decode(usage))
    except _NO_JSON:
        return None


def _tokens(usage: _Usage) -> Tokens:
    return usage.prompt_tokens, usage.completion_tokens or 0


def _without_null(event: bytes, start: int) -> bytes:
    """Without the field, and otherwise byte for byte, unless the name stands in it twice."""
    if event.count(FIELD) == 1:
        return _NULL.sub(b"", event, count=1)
    fields = _fields.decode(event[start:])
    del fields["usage"]
    return event[:start] + b" " + msgspec.json.encode(fields)
