"""What a conversation begins with: requests that share it find each other's work in a worker's cache."""

from hashlib import blake2b
from typing import Any

import msgspec

from fastchat.api import structure

LONGEST_PROMPT = 256
"""Characters of a completion's prompt that count."""


class _Message(msgspec.Struct):
    role: str = ""
    content: Any = None


class _Prompt(msgspec.Struct):
    messages: list[_Message] | None = None
    prompt: Any = None
    input: msgspec.Raw | None = None


_decode = msgspec.json.Decoder(_Prompt).decode
_items = msgspec.json.Decoder(list[_Message]).decode


def prefix_of(body: bytes) -> int | None:
    """A number for the beginning of the prompt in a request's body; None where there is none, or it is no text.

    Of a conversation it is everything up to the first thing that the user said, which does not change as it goes on.
    """
    try:
        structure.check(body)
        prompt = _decode(body)
        turns = prompt.messages or _turns(prompt.input)
    except (structure.TooComplexError, msgspec.DecodeError, RecursionError):
        return None  # the worker will say what is wrong with it
    if turns:
        first = next((at for at, each in enumerate(turns) if each.role == "user"), 0)
        return _number(msgspec.json.encode([[each.role, each.content] for each in turns[: first + 1]]))
    if isinstance(prompt.prompt, str):
        return _number(prompt.prompt[:LONGEST_PROMPT].encode("utf-8", "replace"))
    return None


def _turns(items: msgspec.Raw | None) -> list[_Message]:
    """Those of the Responses API's `input`; none of texts to be embedded."""
    said = b"" if items is None else bytes(items)
    return _items(said) if said.startswith(b"[") and b'"role"' in said else []


def _number(text: bytes) -> int:
    """The same in every process."""
    return int.from_bytes(blake2b(text, digest_size=7).digest())
