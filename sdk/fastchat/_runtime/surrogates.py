"""Half a character in a JSON text: an escape such as `\\ud83d` without the other one of its pair.

A parser refuses the whole document for it and says at which byte; whoever sent it knows fields.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_HALF = re.compile("[\ud800-\udfff]")


def field_of_half(document: bytes) -> str | None:
    """Path of the first text with half a character, such as `messages[0].content`; of a key the object it is in.

    Empty: it is the whole document, or one of its keys. None: there is none, or the document is no JSON otherwise.
    """
    if b"\\u" not in document:
        return None
    try:
        return next(_found(json.loads(document, parse_int=_nothing, parse_float=_nothing), ""), None)
    except (ValueError, RecursionError):
        return None


def _nothing(_: str) -> None:
    """Numbers are not looked at, and long ones take long to read."""


def _found(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, str):
        if not value.isascii() and _HALF.search(value):
            yield path
    elif isinstance(value, list):
        for index, each in enumerate(value):
            if each is not None:  # there may be a quarter of a million numbers
                yield from _found(each, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from [path] if _HALF.search(name) else _found(each, f"{path}.{name}" if path else name)
