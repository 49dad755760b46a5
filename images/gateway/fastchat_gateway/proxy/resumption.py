"""What a request's workers have generated so far, as they say it, for another worker to go on from there.

The comments of a stream, and the document, are those of docs/decisions/resumable-streams.md.
"""

import logging
import re
from array import array
from typing import Final

import msgspec

from fastchat_gateway.proxy import shapes

logger = logging.getLogger(__name__)

_HANDED_OVER: Final = b":h\n\n"
"""The last unit of a stream whose worker hands over what it has."""
_COMMENT = re.compile(rb"(?<=\n):([rt] [^\r\n]*\n)\n")
_UNIT_END = re.compile(rb"(?:^|(?<=\n)):[^\r\n]*\n\n")
_MOST_UNREAD: Final = 2**14
"""Bytes of a stream that are kept whole; of what came before, its comments are."""
_CHUNK_END: Final = b"\r\n"
_EVENT_END: Final = b"\n\n"
_LARGEST_DOCUMENT: Final = 2**24
_BYTES_PER_CHOICE: Final = 256
_ORIGIN: Final = b"r"
_NO_TOKENS: Final = b"-"
_ENDED: Final = b"."
_CACHED: Final = b"c"


class ResumeBudget:
    """Bytes that all requests together may keep."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.used = 0

    def take(self, size: int) -> bool:
        """More is kept; False where that is too much, and nothing is taken then."""
        if self.used + size > self._most:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        self.used -= size


class _Choice:
    """One choice: its tokens, four bytes each."""

    __slots__ = ("cached", "ended", "tokens")

    def __init__(self) -> None:
        self.tokens: array[int] = array("I")
        self.cached = 0
        self.ended = False

    def add(self, fields: list[bytes]) -> None:
        """What a comment says of it."""
        self.tokens.extend(
            array("I", [int(token) for token in fields[0].split(b",")] if fields[0] != _NO_TOKENS else [])
        )
        for field in fields[1:]:
            if field == _ENDED:
                self.ended = True
            elif field.startswith(_CACHED):
                self.cached = int(field[1:])

    @property
    def said(self) -> dict[str, object]:
        return {"tokens": self.tokens.tolist(), "cached": self.cached, "ended": self.ended}


class Resumption:
    """One request's, until it is closed."""

    def __init__(self, budget: ResumeBudget, choices: int = 1) -> None:
        """`choices`: what its response has."""
        self._budget = budget
        self._size = choices
        self._taken = 0
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._comments: list[bytes] = []
        """Lines of those that were not looked at, some ten bytes a token: mostly nobody ever has to."""
        self._last = b""
        self._origin: tuple[int, str, str] | None = None
        """When the response was created, its seed, and the model's digest; None: no stream has begun."""
        self._choices: dict[int, _Choice] = {}
        self._document = b""
        """By which a worker has handed over a response that is no stream."""
        self._noted = 0
        self._is_complete = True
        """Nothing was left out for want of room, or because it made no sense."""

    @property
    def has_begun(self) -> bool:
        """A stream has: the client has its opening."""
        self._read()
        return self._origin is not None

    @property
    def has_ended(self) -> bool:
        """Every choice has; at most the closing events are missing."""
        self._read()
        return len(self._choices) == self._size and all(choice.ended for choice in self._choices.values())

    @property
    def is_handed_over(self) -> bool:
        """The last unit says that its worker does not go on."""
        return self._last.removesuffix(_CHUNK_END).endswith(_HANDED_OVER)

    @property
    def ends_with_unit(self) -> bool:
        """What was kept last ends with a comment, so that it is known what all of it is made of."""
        last = self._last.removesuffix(_CHUNK_END)
        line = last.rfind(b"\n", 0, len(last) - len(_EVENT_END)) + 1
        return last.endswith(_EVENT_END) and last[line : line + 1] == b":"

    @property
    def is_possible(self) -> bool:
        """Another worker can go on with the stream."""
        return self.has_begun and self._is_complete and self.ends_with_unit

    def keep(self, units: bytes) -> None:
        """Whole units, chunked or not, that go to the client."""
        self._last = units
        self._unread.append(units)
        self._unread_bytes += len(units)
        if self._unread_bytes > _MOST_UNREAD:
            self._condense()

    def take_over(self, document: bytes) -> bool:
        """A worker has handed over a response that is no stream; False where nobody can go on from that."""
        if not 0 < len(document) <= _LARGEST_DOCUMENT or not self._take(len(document) - len(self._document)):
            return False
        self._document = document
        return True

    def restore(self, said: shapes.Progress) -> None:
        """A client, which lost its connection, has this much of the stream already."""
        self._origin = said.created, said.seed, said.model
        size = 0
        for place, choice in enumerate(said.choices[: self._size]):
            restored = self._choices[place] = _Choice()
            restored.tokens.extend(choice.tokens)
            restored.cached, restored.ended = choice.cached, choice.ended
            size += _BYTES_PER_CHOICE + len(choice.tokens) * restored.tokens.itemsize
        self._is_complete = self._take(size)

    def drop(self) -> bool:
        """Forget what was handed over of a response that is no stream; False where there is nothing of that kind."""
        document, self._document = self._document, b""
        return bool(document)

    def went_on(self) -> bool:
        """Something was generated since the last call."""
        self._read()
        before, self._noted = self._noted, len(self._document)
        self._noted += sum(len(choice.tokens) + choice.ended for choice in self._choices.values())
        return self._noted > before

    def document(self) -> bytes:
        """What the next worker is told; empty: the request begins anew."""
        self._read()
        if self._origin is None:
            return self._document
        created, seed, model = self._origin
        choices = [self._choices.get(place, _Choice()).said for place in range(self._size)]
        return msgspec.json.encode({"created": created, "seed": seed, "model": model, "choices": choices})

    def close(self) -> None:
        """The request is over."""
        self._budget.give_back(self._taken)
        self._taken = 0
        self._unread, self._comments, self._choices, self._document = [], [], {}, b""

    def _take(self, size: int) -> bool:
        if not self._budget.take(size):
            return False
        self._taken += size
        return True

    def _condense(self) -> None:
        """Of what was kept whole, keep the comments."""
        units = b"\n" + b"".join(self._unread)
        self._unread, self._unread_bytes = [], 0
        if self._is_complete:
            comments = b"".join(_COMMENT.findall(units))
            self._comments.append(comments)
            self._is_complete = self._take(len(comments))

    def _read(self) -> None:
        """Look at the comments."""
        if self._unread:
            self._condense()
        lines = b"".join(self._comments).split(b"\n")
        self._comments = []
        if not self._is_complete:
            return
        try:
            for line in lines[:-1]:
                self._read_comment(line.split(b" "))
        except (ValueError, IndexError, OverflowError) as wrong:
            logger.warning("a stream cannot be resumed: a comment of its worker makes no sense: %s", wrong)
            self._is_complete = False

    def _read_comment(self, fields: list[bytes]) -> None:
        if fields[0] == _ORIGIN:
            self._origin = int(fields[1]), fields[2].decode("ascii"), fields[3].decode("ascii")
            return
        place = int(fields[1])
        if place not in self._choices:
            if not 0 <= place < self._size:
                raise ValueError(f"choice {place}")
            self._choices[place] = _Choice()
        self._choices[place].add(fields[2:])


def end_of_units(data: bytes) -> int:
    """Behind the last whole comment of what begins with a unit; 0 where there is none."""
    end = 0
    for comment in _UNIT_END.finditer(data):
        end = comment.end()
    return end
