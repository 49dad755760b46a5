"""What is read of a body, and that no two readers can read it differently."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_gateway.errors import RefusedError
from fastchat_gateway.proxy.body import read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-12, 12) | st.text('"\\{}:, an', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\:m', max_size=3), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.lists(st.tuples(st.sampled_from(["n", "a", '"', "\\", "mod", ":", "ü"]), VALUES), max_size=5)
SPACE = st.sampled_from(["", " ", "\n\t", " \r\n"])


def spelled(members: list[tuple[str, object]], space: str, *, ascii_only: bool = True) -> bytes:
    """A JSON object with these members, in this order."""
    inner = f"{space},{space}".join(
        f"{json.dumps(name, ensure_ascii=ascii_only)}{space}:{space}{json.dumps(value)}" for name, value in members
    )
    return f"{space}{{{space}{inner}{space}}}{space}".encode()


@given(MEMBERS, SPACE, st.booleans(), st.integers(0, 5))
def test_a_body_is_refused_exactly_where_a_key_comes_twice(members, space, ascii_only, at) -> None:
    members = [*members[:at], ("model", "m"), *members[at:]]
    body = spelled(members, space, ascii_only=ascii_only)
    names = [name for name, _ in members]
    if len(set(names)) == len(names):
        assert read(body).model == "m"
        return
    with pytest.raises(RefusedError, match="more than once") as refused:
        read(body)
    assert names.count(refused.value.error.param) > 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "a", "model": "b"}',
        b'{"model": "a", "model": "a"}',
        b'{"model": "a", "mod\\u0065l": "b"}',
        b'{"mod\\u0065l": "b", "messages": [{"model": "c"}], "model":"a"}',
        b'{"model": "a", "n": 1, "n": 12}',
        b'{"model": "a", "stream": false, "stream": true}',
        b'{"model": "a", "x": 1, "model": "aaaaaaa"}',
        b'{"model": "a", "messages": "%b", "model": "b"}' % (b"x" * 2**15),
    ],
)
def test_a_key_that_comes_twice_is_named(body) -> None:
    with pytest.raises(RefusedError, match=r"'(model|n|stream)' more than once") as refused:
        read(body)
    assert refused.value.status == 400


def test_a_long_body_is_read_like_a_short_one() -> None:
    for size in (10, 2**15):
        asked = read(b'{"messages": "%b", "stream": true, "n": 3, "model": "a", "model_": {}}' % (b"x" * size))
        assert (asked.model, asked.stream, asked.sequences, asked.has_stream_options) == ("a", True, 3, False)
        with pytest.raises(RefusedError, match="'stream'"):
            read(b'{"messages": "%b", "stream": 3, "model": "a"}' % (b"x" * size))
