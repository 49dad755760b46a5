"""How much structure a JSON document may have, counted before anything is built of it.

To build values takes a hundred times as long as to look at their bytes, in Python's memory too, and no other thread
runs meanwhile. Text costs next to nothing, whatever is in it; so commas, colons and brackets inside strings count not.
"""

import re

MOST_VALUES = 2**18
"""Elements and members of all arrays and objects together: the token ids of a request."""
MOST_MEMBERS = 2**15
"""Members, objects and arrays."""
MOST_OF_ONE = 2**10
"""Members of one object; as many biases and parameters are more than any API has."""

_RARE = 256
_STRING = re.compile(rb'"[^"]*"')
_NO_MARKS = bytes(set(range(256)) - set(b'",:[{'))
_OPENS, _MEMBER = b"{:"
_NO_OBJECTS = bytes(set(range(256)) - set(b'":{}'))


class TooComplexError(ValueError):
    """The document has more values than anybody needs; the message says which."""


def check(document: bytes) -> None:
    """Raise TooComplexError for a document with more structure than that, valid JSON or not. Linear in its length."""
    if len(document) <= MOST_MEMBERS or _fits(document):
        return
    marks = _marks(document)
    if marks.count(b'"') > 2 * (MOST_VALUES + 2 * MOST_MEMBERS + 1):  # first elements and keys follow no comma
        raise _too_many_values()
    bare = _STRING.sub(b"", marks)
    if bare.count(b",") > MOST_VALUES:
        raise _too_many_values()
    if not _fits(bare):
        raise TooComplexError(f"it has more than {MOST_MEMBERS} objects, arrays and members of objects")


def has_more_colons(document: bytes, number: int) -> bool:
    """Whether there are more colons in it than this number, those inside strings too.

    They are looked for one by one while they are rare: of a MiB `bytes.count` takes 0.5 ms (Python 3.11), `find` 0.05.
    """
    at = -1
    for _ in range(min(_RARE, number + 1)):
        at = document.find(b":", at + 1)
        if at < 0:
            return False
    return number < _RARE or document.count(b":", at + 1) > number - _RARE


def check_objects(document: bytes) -> None:
    """Raise TooComplexError where an object of the document has more members than one may have.

    A validator makes an error of each member that it does not know. Takes a step for each member and object, of which
    `check` has counted no more than it allows; of invalid JSON it says nothing.
    """
    if not has_more_colons(document, MOST_OF_ONE):
        return
    open_objects: list[int] = []
    for mark in _STRING.sub(b"", _without(document, _NO_OBJECTS)):
        if mark == _OPENS:
            open_objects.append(0)
        elif not open_objects:
            return  # it is no JSON
        elif mark == _MEMBER:
            open_objects[-1] += 1
            if open_objects[-1] > MOST_OF_ONE:
                raise _too_many_members(len(open_objects))
        else:
            open_objects.pop()


def _fits(text: bytes) -> bool:
    return text.count(b",") <= MOST_VALUES and sum(map(text.count, (b":", b"[", b"{"))) <= MOST_MEMBERS


def _marks(document: bytes) -> bytes:
    """The marks of structure, those inside strings too, and the quotes around strings."""
    return _without(document, _NO_MARKS)


def _without(document: bytes, dropped: bytes) -> bytes:
    if b"\\" in document:  # outside of strings there is none, or a parser goes no further than that
        document = document.replace(b"\\\\", b"").replace(b'\\"', b"")
    return document.translate(None, dropped)


def _too_many_values() -> TooComplexError:
    return TooComplexError(f"it has more than {MOST_VALUES} values")


def _too_many_members(depth: int) -> TooComplexError:
    if depth == 1:
        return TooComplexError(f"it has more than {MOST_OF_ONE} parameters; leave out those that the API does not have")
    return TooComplexError(
        f"an object in it has more than {MOST_OF_ONE} members; leave out those that the API does not have"
    )
