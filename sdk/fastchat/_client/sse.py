"""Server-sent events.

Source: WHATWG HTML, section 9.2 (https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from collections.abc import Iterator


class Event(str):
    """Data of an event."""

    __slots__ = ()


class Comment(str):
    """What stands behind the colon of a comment."""

    __slots__ = ()


class EventParser:
    """Takes a stream's bytes as they come and gives the data of each event, and comments; other fields are left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Event | Comment]:
        """What `chunk` completes; an event that the stream breaks off in is never given."""
        for line in self._lines(chunk):
            if line.startswith(b":"):
                yield Comment(line[1:].decode(errors="replace"))
            elif line:
                self._take(line)
            elif self._data:
                data, self._data = "\n".join(self._data), []
                yield Event(data)

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes. A CR ends a line at once: an LF that heads the next chunk belongs to it."""
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        lines = (self._rest + chunk).splitlines(keepends=True)
        self._rest = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
        return [line.rstrip(b"\r\n") for line in lines]

    def _take(self, line: bytes) -> None:
        field, _, value = line.decode(errors="replace").partition(":")
        if field == "data":
            self._data.append(value.removeprefix(" "))
