"""JSON values as they come: where one ends, and as much of it as is valid so far."""

import json
import re
from collections.abc import Callable
from typing import Any

from fastchat_worker.chat.tools.source import Emit, Source, Steps

_DEEPEST = 200  # objects and arrays in one another; Python's own reader takes not many more
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_BLANKS = re.compile(r"[ \t\n\r]+")
_NUMBER = re.compile(r"[-+.0-9eE]+")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_LONGEST_NUMBER = 1024
_WORDS = {"t": "true", "f": "false", "n": "null"}
_HEX = frozenset("0123456789abcdefABCDEF")


_State = Callable[[str, int], tuple[int, str]]


class JsonScanner:
    """Follows one JSON value through its text.

    A line break or another control character in a string, which JSON has not and models write, becomes its escape.
    """

    def __init__(self) -> None:
        self._next: _State = self._value
        self._open: list[str] = []
        self._word = ""  # what is left of true, false or null
        self._number = ""
        self._hex = 0
        self.done = False
        """The value is whole."""
        self.broken = False
        """What came is no JSON."""

    def feed(self, text: str, at: int = 0) -> tuple[int, str]:
        """(where in this text the value ends or the text does, what of it is the value, as JSON)."""
        parts = []
        while at < len(text) and not self.done and not self.broken:
            length, part = self._next(text, at)
            parts.append(part)
            at += length
        return at, "".join(parts)

    def end(self) -> bool:
        """Whether the value is whole where the text ends: a number may be."""
        if self._next == self._number_characters:
            self._close_number()
        return self.done

    def _value(self, text: str, at: int) -> tuple[int, str]:
        character = text[at]
        if blanks := self._skip(text, at):
            return blanks
        if character in "{[":
            return self._begin(character)
        if character == '"':
            self._next = self._string
        elif character in _WORDS:
            self._next, self._word = self._literal, _WORDS[character][1:]
        elif character == "-" or (character.isdecimal() and character.isascii()):
            self._next, self._number = self._number_characters, ""
            return 0, ""
        else:
            return self._break()
        return 1, character

    def _begin(self, bracket: str) -> tuple[int, str]:
        if len(self._open) >= _DEEPEST:
            return self._break()
        self._open.append(bracket)
        self._next = self._first_key if bracket == "{" else self._first_value
        return 1, bracket

    def _first_value(self, text: str, at: int) -> tuple[int, str]:
        return self._skip(text, at) or (self._end_of(text[at]) if text[at] == "]" else self._value(text, at))

    def _first_key(self, text: str, at: int) -> tuple[int, str]:
        return self._skip(text, at) or (self._end_of(text[at]) if text[at] == "}" else self._key(text, at))

    def _key(self, text: str, at: int) -> tuple[int, str]:
        if blanks := self._skip(text, at):
            return blanks
        if text[at] != '"':
            return self._break()
        self._open.append("key")
        self._next = self._string
        return 1, '"'

    def _colon(self, text: str, at: int) -> tuple[int, str]:
        if blanks := self._skip(text, at):
            return blanks
        if text[at] != ":":
            return self._break()
        self._next = self._value
        return 1, ":"

    def _comma(self, text: str, at: int) -> tuple[int, str]:
        if blanks := self._skip(text, at):
            return blanks
        if text[at] == ",":
            self._next = self._key if self._open[-1] == "{" else self._value
            return 1, ","
        return self._end_of(text[at])

    def _end_of(self, bracket: str) -> tuple[int, str]:
        if bracket not in ("}", "]") or (bracket == "}") != (self._open[-1] == "{"):
            return self._break()
        self._open.pop()
        self._close()
        return 1, bracket

    def _string(self, text: str, at: int) -> tuple[int, str]:
        if plain := _PLAIN.match(text, at):
            return len(plain[0]), plain[0]
        character = text[at]
        if character == "\\":
            self._next = self._escape
        elif character == '"':
            self._close_string()
        else:
            return 1, json.dumps(character)[1:-1]
        return 1, character

    def _close_string(self) -> None:
        if self._open and self._open[-1] == "key":
            self._open.pop()
            self._next = self._colon
        else:
            self._close()

    def _escape(self, text: str, at: int) -> tuple[int, str]:
        if text[at] not in '"\\/bfnrtu':
            return self._break()
        self._next, self._hex = (self._hex_digits, 4) if text[at] == "u" else (self._string, 0)
        return 1, text[at]

    def _hex_digits(self, text: str, at: int) -> tuple[int, str]:
        if text[at] not in _HEX:
            return self._break()
        self._hex -= 1
        self._next = self._hex_digits if self._hex else self._string
        return 1, text[at]

    def _literal(self, text: str, at: int) -> tuple[int, str]:
        if text[at] != self._word[0]:
            return self._break()
        self._word = self._word[1:]
        if not self._word:
            self._close()
        return 1, text[at]

    def _number_characters(self, text: str, at: int) -> tuple[int, str]:
        found = _NUMBER.match(text, at, at + _LONGEST_NUMBER - len(self._number))
        if found is None:
            self._close_number()
            return 0, ""
        self._number += found[0]
        return len(found[0]), found[0]

    def _close_number(self) -> None:
        if _WHOLE_NUMBER.fullmatch(self._number):
            self._close()
        else:
            self._break()

    def _close(self) -> None:
        self._next = self._comma
        self.done = not self._open

    def _break(self) -> tuple[int, str]:
        self.broken = True
        return 0, ""

    @staticmethod
    def _skip(text: str, at: int) -> tuple[int, str] | None:
        blanks = _BLANKS.match(text, at)
        return (len(blanks[0]), blanks[0]) if blanks else None


def value(source: Source, emit: Emit) -> Steps[bool]:
    """Hands on the JSON value that comes next as it comes. False where it breaks: at the first character that is wrong.

    What was handed on until then is the beginning of a valid value.
    """
    scanner = JsonScanner()
    while True:
        waiting, at = source.waiting
        end, text = scanner.feed(waiting, at)
        source.take(end - at)
        if text:
            emit(text)
        if scanner.done or scanner.broken:
            return scanner.done
        if source.ended:
            return scanner.end()
        yield


def whole(source: Source) -> Steps[Any]:
    """The JSON value that comes next. Returns: `BROKEN` where it is none."""
    parts: list[str] = []
    valid = yield from value(source, parts.append)
    return json.loads("".join(parts)) if valid else BROKEN


BROKEN = object()
"""In place of a value that is none."""
