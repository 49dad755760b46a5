"""What a response used: read wherever its worker says it, estimated from its bytes where none did.

Inside a JSON string quotes are escaped, so that no text of a model looks like the field `"usage"`.
"""

import re
from typing import Final

import msgspec

from fastchat_gateway.proxy import documents
from fastchat_gateway.proxy.documents import Tokens

FIELD: Final = b'"usage"'
_BYTES_PER_TOKEN = 4
_LONGEST = 4096
"""Bytes from the field's name to the end of its value, where a response is searched and not parsed."""
_TRIES = 8
_OBJECT = re.compile(rb'"usage"\s*:\s*\{')
_WHOLE_OBJECT = re.compile(rb'"usage"\s*:\s*(\{(?:[^{}]++|\{[^{}]*+\})*+\})')
_NULL = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,?\s*')
_EVENT = re.compile(rb"data:([^\r\n]*)(?:\r\n\r\n|\n\n)")
_DONE = b"data: [DONE]\n\n"


class Search:
    """Finds usage in a response that comes in parts and is not kept: wherever it stands, however it is cut."""

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
        tokens = None if match is None else documents.usage(match[1])
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
        self._prompt: int | None = None

    def read(self, events: bytes) -> bytes:
        """Note what events say; returns those that the client gets."""
        end = b"\r\n\r\n" if b"\r\n\r\n" in events else b"\n\n"
        at = self._skip_cut(events, end) if self.is_cut else 0
        kept, done = b"", 0
        field = events.find(FIELD, at)
        while field >= 0:
            start = _after_last(events, end, at, field)
            stop = events.find(end, field)
            if stop < 0:
                break
            at = stop + len(end)
            event = events[start:stop]
            given = self._read(event)
            if given is not event:
                kept += events[done:start] if given is None else events[done:start] + given + end
                done = at
            field = events.find(FIELD, at)
        if events and not events.endswith(end):
            self._look(events[_after_last(events, end, at, len(events)) :])
            self.is_cut = True
        return kept + events[done:] if done else events

    def _skip_cut(self, events: bytes, end: bytes) -> int:
        """Where the first whole event begins."""
        stop = events.find(end)
        self.is_cut = stop < 0
        if self.is_cut:
            return 0
        self._look(events[:stop])
        return stop + len(end)

    def _read(self, event: bytes) -> bytes | None:
        start = event.find(b"data:") + len(b"data:")
        chunk = documents.chunk(event[start:])
        if chunk is None:
            self._look(event)
            return event
        if isinstance(chunk.usage, msgspec.UnsetType):
            self.found = documents.response_usage(chunk) or self.found
            self._prompt = documents.prompt_tokens(chunk)
            return event
        said = bytes(chunk.usage)
        self.found = documents.usage(said, self._prompt) or self.found
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


def _after_last(data: bytes, mark: bytes, start: int, stop: int) -> int:
    """Behind the last `mark` between two places; the first of them where there is none."""
    at = data.rfind(mark, start, stop)
    return start if at < 0 else at + len(mark)


def says_usage(data: bytes, start: int) -> bool:
    """Somewhere behind `start` it is told, and not only that it is null."""
    return _OBJECT.search(data, start) is not None


def of_text(body: bytes) -> int:
    """Tokens of a whole response that does not say it: four bytes of its text are one."""
    text = documents.text_bytes(body)
    return of_bytes(len(body) if text is None else text)


def of_events(sent: int, events: int, first: bytes, last: bytes) -> int:
    """Tokens of a stream that did not say it, or not yet: each event has one, or more where its text is longer.

    `sent`: bytes of all events; `first`: where they begin, which tells how much of an event is not text; `last`: where
    they end.
    """
    event = _EVENT.search(first)
    text = documents.text_bytes(event[1]) or 0 if event else 0
    frame = len(event[0]) - text if event else 0
    if _DONE in last:
        events, sent = events - 1, sent - len(_DONE)
    opening = 0 if text else 1
    return max(events - opening, of_bytes(sent - events * frame), 0)


def of_bytes(size: int) -> int:
    """Tokens of so many bytes of text."""
    return -(-size // _BYTES_PER_TOKEN)


def _without_null(event: bytes, start: int) -> bytes:
    """Without the field, and otherwise byte for byte, unless the name stands in it twice."""
    if event.count(FIELD) == 1:
        return _NULL.sub(b"", event, count=1)
    return event[:start] + b" " + documents.without(event[start:], "usage")
