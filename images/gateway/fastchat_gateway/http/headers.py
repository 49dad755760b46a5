"""Header fields, and lines of them."""

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]
"""Names and values, in their order."""


def render(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def pairs(lines: bytes) -> Headers:
    """What `render` has rendered."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines.splitlines())]
