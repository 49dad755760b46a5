"""Whether two responses say the same."""

import re

import pytest

_NUMBER = re.compile(rb"-?\d+\.\d+(?:e-?\d+)?")
_WHEN = re.compile(rb'"completed_at":\d+')
_CACHED = re.compile(rb' c\d+|"(?:cached_tokens|input_tokens|cache_read_input_tokens)":\d+')


def check_same(had: bytes, whole: bytes) -> None:
    """Numbers in float32 may differ in their last digits, and the second worker may find other things in its cache."""
    had, whole = (_CACHED.sub(b"", _WHEN.sub(b"", each)) for each in (had, whole))
    numbers = [[float(each) for each in _NUMBER.findall(text)] for text in (had, whole)]
    assert _NUMBER.sub(b"#", had) == _NUMBER.sub(b"#", whole)
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-3)
