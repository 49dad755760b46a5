import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_gateway.errors import RefusedError
from fastchat_gateway.proxy.body import MOST_SEQUENCES, read
from fastchat_gateway.proxy.call import Call


def refusal(body: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        read(body)
    assert refused.value.status == 400
    return refused.value


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model": "m"}', ("m", False)),
        (b'{"model": "m", "stream": null}', ("m", False)),
        (b'{"stream": true, "model": "m"}', ("m", True)),
        ('{"model": "größe", "x": "ü"}'.encode(), ("größe", False)),
    ],
)
def test_model_and_stream_are_read(body: bytes, expected: tuple[str, bool]) -> None:
    asked = read(body)
    assert (asked.model, bool(asked.stream)) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b'{"model": "m"',
        b'{"model": "m"} x',
        b'{"model": "m", "x": NaN}',
        b'{"model": "m", "x": "\xff"}',
        b'{"model": "\xff"}',
        b'{"model": "\\ud800"}',
        '{"model": "m"}'.encode("utf-16"),
        b'{"model": "m", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_not_json_in_utf8_is_refused(body: bytes) -> None:
    assert refusal(body).error.code == "invalid_json"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (b'"m"', None),
        (b"{}", "model"),
        (b'{"model": null}', "model"),
        (b'{"model": 7, "stream": 7}', "model"),
        (b'{"model": "m", "stream": "yes"}', "stream"),
        (b'{"model": "m", "stream": 1}', "stream"),
    ],
)
def test_the_wrong_field_is_named(body: bytes, param: str | None) -> None:
    assert refusal(body).error.param == param


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'"",', b'{"a":1},', b"1,"])
def test_of_a_wrong_body_nothing_is_built(unit: bytes) -> None:
    body = b'{"x": [' + unit * (2**20 // len(unit)) + b'0], "stream": true}'
    tracemalloc.start()
    try:
        assert refusal(body).error.param == "model"
        assert tracemalloc.get_traced_memory()[1] < 2 * len(body)
    finally:
        tracemalloc.stop()


def test_the_body_goes_out_byte_for_byte_under_the_models_own_name() -> None:
    body = b'{ "model":"m",  "x": 1.10 }'
    assert Call("m", b"/", body, b"").body_for("m") is body


def test_an_alias_is_replaced_and_nothing_else_is_touched() -> None:
    body = b'{"x": 1.000000000000000000001, "model": "gpt", "y": {"model": "gpt", "z": [1, 2e3]}, "u": "\\u00fc"}'
    sent = Call("gpt", b"/", body, b"").body_for("vicuna")
    assert json.loads(sent)["model"] == "vicuna"
    for kept in (b"1.000000000000000000001", b'{"model": "gpt", "z": [1, 2e3]}', b'"\\u00fc"'):
        assert kept in sent


@pytest.mark.parametrize(
    ("fields", "sequences"),
    [
        ({}, 1),
        ({"n": None, "prompt": "a"}, 1),
        ({"n": 5}, 5),
        ({"n": 3, "prompt": ["a", "b"]}, 6),
        ({"prompt": ['a"b', "c\\\\", '\\"', "[,]", "ü"]}, 5),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": []}, 1),
        ({"input": "a"}, 1),
        ({"input": ["a"] * 100}, 100),
        ({"input": [{"text": "a"}, {"text": "b"}]}, 2),
        ({"n": "many", "prompt": {"a": "b"}}, 1),
        ({"n": -7}, 1),
        ({"n": 1.5}, 1),
        ({"n": 10**400}, MOST_SEQUENCES),
        ({"n": 128, "prompt": ["a"] * 2048}, MOST_SEQUENCES),
    ],
)
def test_a_request_counts_for_its_sequences(fields: dict[str, Any], sequences: int) -> None:
    for ascii_only in (True, False):
        assert read(json.dumps({"model": "m", **fields}, ensure_ascii=ascii_only).encode()).sequences == sequences


@given(st.lists(st.text(), min_size=1, max_size=9), st.sampled_from([None, 1]))
def test_texts_are_counted_whatever_is_in_them(texts: list[str], indent: int | None) -> None:
    assert read(json.dumps({"prompt": texts, "model": "m"}, indent=indent).encode()).sequences == len(texts)
