"""Reads a worker's responses: bytes in, events out, one response after the other. No socket, no clock, no task."""

from typing import Final, Protocol

from fastchat_gateway.http.body import Body, SizedBody
from fastchat_gateway.http.chunked import Chunked, whole_events
from fastchat_gateway.http.head_cache import HeadCache
from fastchat_gateway.http.response_head import BadResponseError, ResponseHead, check_beginning, read

_MOST_INTERIM: Final = 16


class Reader(Protocol):
    """Who gets a response: all of it by `on_response`, or its head, then its body in parts, then its end.

    The last three come from the connection, in the place of what is still to come.
    """

    def on_response(self, head: ResponseHead, body: bytes) -> None:
        """The whole response, which came at once; nothing follows."""

    def on_head(self, head: ResponseHead) -> None:
        """The response begins."""

    def on_body(self, data: bytes) -> None:
        """Bytes of its body, free of any framing."""

    def passes(self, data: bytes) -> int:
        """How many of these bytes of a chunked body may come by `on_chunks`; asked of readers that take chunks."""

    def on_chunks(self, data: bytes, number: int, *, more: bool) -> None:
        """So many whole plain chunks of a stream's body as they came, the last of which ends with an event.

        `more`: the response's end has come with them, and follows.
        """

    def on_complete(self, data: bytes) -> None:
        """The last part of the body, which may be empty; nothing follows."""

    def on_lost(self, reason: str) -> None:
        """The connection ended before the response did."""

    def on_bad_response(self, reason: str) -> None:
        """What came is no response, or does not go on as one."""

    def on_silent(self, reason: str, *, suspect: bool) -> None:
        """The response was given up; `suspect`: this request may be why the worker sends nothing any more."""


class End:
    """A response's last event: told when its connection has been made ready for the next request, or closed."""

    __slots__ = ("_data", "_reader", "_whole", "is_reusable")

    def __init__(self, reader: Reader, whole: ResponseHead | None, data: bytes, *, is_reusable: bool) -> None:
        """`whole`: the head of a response that came at once."""
        self._reader = reader
        self._whole = whole
        self._data = data
        self.is_reusable = is_reusable
        """The connection may take another request."""

    def tell(self) -> None:
        if self._whole is None:
            self._reader.on_complete(self._data)
        else:
            self._reader.on_response(self._whole, self._data)


class _Begun:
    """A response whose head has been read and whose body is arriving."""

    __slots__ = ("body", "head", "stream")

    def __init__(self, head: ResponseHead, *, takes_chunks: bool) -> None:
        self.head = head
        self.stream: Chunked | None = None
        """The body, where its reader takes chunks as they come."""
        self.body: Body
        if head.chunked:
            chunked = Chunked()
            self.body = chunked
            if takes_chunks and head.streams:
                self.stream = chunked
        else:
            self.body = Body() if head.length is None else SizedBody(head.length)

    @property
    def ends_with_connection(self) -> bool:
        return not self.head.chunked and self.head.length is None


class ResponseParser:
    """One connection's. From `expect` to a response's last event it has a reader; what comes in between is surplus.

    A response is read in two phases: its head, until there is a `_Begun`, then its body.
    """

    def __init__(self) -> None:
        self._reader: Reader | None = None
        self._takes_chunks = False
        self._begun: _Begun | None = None
        self._head_part = b""
        """The beginning of a head whose end is to come."""
        self._head_since = 0.0
        self._interim = 0
        """Interim responses before this one."""
        self._last_head: HeadCache[ResponseHead] = HeadCache()
        self._last_open_head: tuple[bytes, ResponseHead | None] = b"", None
        """The last head of a body of unknown length, and what it says: a stream's mostly comes again byte for byte."""

    @property
    def is_reading(self) -> bool:
        """A response is expected, or arriving."""
        return self._reader is not None

    def is_late(self, before: float) -> bool:
        """A head began before this time and has not ended."""
        return bool(self._head_part) and self._head_since < before

    def expect(self, reader: Reader, *, chunks: bool = False) -> None:
        """The next response is for this reader; `chunks`: it takes a stream's chunks as they come."""
        self._reader = reader
        self._takes_chunks = chunks

    def stop(self) -> Reader | None:
        """Read nothing more; returns who had a response to come."""
        reader, self._reader = self._reader, None
        return reader

    def feed(self, data: bytes, now: float) -> End | None:
        """Take in what arrived at a time in seconds, and tell the reader; returns what is to be told of the end.

        Raises BadResponseError.
        """
        begun = self._begun
        if begun is not None:
            return self._read_body(begun, data)
        if not self._head_part:
            body = self._last_head.body(data)  # mostly it is a whole response under the last one's head
            if body is not None:
                return self._end(self._last_head.said, body)
        return self._read_head(data, now)

    def end_of_input(self) -> End | None:
        """The connection was closed: the end of a response, where that has no other."""
        begun, reader = self._begun, self._reader
        if begun is None or reader is None or not begun.ends_with_connection:
            return None
        self._reader = None
        return End(reader, None, b"", is_reusable=False)

    def _read_head(self, data: bytes, now: float) -> End | None:
        """Interim heads are skipped: they say nothing of the response."""
        fresh = not self._head_part
        whole = data if fresh else self._head_part + data
        end = whole.find(b"\r\n\r\n") + 4
        if end < 4:
            check_beginning(whole)
            if fresh:
                self._head_since = now
            self._head_part = whole
            return None
        self._head_part = b""
        head = self._head_of(whole[:end])
        rest = whole[end:]
        if head.is_interim:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise BadResponseError(f"over {_MOST_INTERIM} interim responses")
            return self._read_head(rest, now) if rest else None
        head.check()
        if head.length != len(rest):
            return self._begin(head, rest)
        if fresh and not self._interim:
            self._last_head.keep(whole, whole.count(b"\r\n", 0, end) - 2, head)
        return self._end(head, rest)

    def _head_of(self, lines: bytes) -> ResponseHead:
        known, said = self._last_open_head
        if said is not None and lines == known:
            return said
        head = read(lines)
        if head.length is None:
            self._last_open_head = lines, head
        return head

    def _end(self, head: ResponseHead, body: bytes) -> End | None:
        """All of it is here."""
        reader, self._reader = self._reader, None
        self._interim = 0
        return None if reader is None else End(reader, head, body, is_reusable=head.keep_alive)

    def _begin(self, head: ResponseHead, rest: bytes) -> End | None:
        begun = self._begun = _Begun(head, takes_chunks=self._takes_chunks)
        self._interim = 0
        if self._reader is not None:
            self._reader.on_head(head)
        return self._read_body(begun, rest) if rest else None

    def _read_body(self, begun: _Begun, data: bytes) -> End | None:
        """What comes after the body's end belongs to nobody, and ends the connection."""
        body, stream = begun.body, begun.stream
        part = body.feed(data) if stream is None else self._read_chunks(stream, data)
        reader = self._reader
        if reader is None:  # it may have gone meanwhile
            return None
        if body.complete:
            self._reader = self._begun = None
            return End(reader, None, part, is_reusable=begun.head.keep_alive and not body.surplus)
        if part:
            reader.on_body(part)
        return None

    def _read_chunks(self, stream: Chunked, data: bytes) -> bytes:
        """What comes next of a stream, apart from what the reader has got already."""
        missing = stream.missing
        if 0 < missing < len(data):
            part = stream.feed(data[:missing])  # so that what follows can be taken as it came
            if part and self._reader is not None:
                self._reader.on_body(part)
            data = data[missing:]
        reader = self._reader
        if reader is None or not stream.is_between:
            return stream.feed(data)
        end, number = whole_events(data, reader.passes(data))
        if not number:
            return stream.feed(data)
        part = stream.feed(data[end:]) if end < len(data) else b""
        reader.on_chunks(data[:end], number, more=stream.complete)
        return part
