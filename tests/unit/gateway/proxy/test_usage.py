import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_gateway.proxy.documents import usage_of
from fastchat_gateway.proxy.usage import Search, StreamUsage, of_events

SAID = {"prompt_tokens": 7, "completion_tokens": 5}


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


documents = st.recursive(
    st.none() | st.integers() | st.text() | st.just('"usage": {"prompt_tokens": 1}'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    st.dictionaries(st.text().filter(lambda name: name != "usage"), documents, max_size=3),
    st.dictionaries(st.text().filter(lambda name: name != "usage"), documents, max_size=3),
    st.lists(st.integers(0, 9999), max_size=12),
    st.booleans(),
)
def test_usage_is_found_wherever_it_stands_in_an_answer(before, after, places, ascii_only) -> None:
    used = {**SAID, "completion_tokens_details": {"reasoning_tokens": 3}}
    body = json.dumps({**before, "usage": used, **after}, ensure_ascii=ascii_only).encode()
    search = Search()
    for part in cut(body, places):
        search.feed(part)
    assert usage_of(body) == search.found == (7, 5)


def test_a_search_keeps_no_more_than_it_needs() -> None:
    search = Search()
    for _ in range(100):
        search.feed(b'"usage": {' + b"x" * 50_000)
        assert len(search._rest) < 5000


@pytest.mark.parametrize(
    "field", ['"usage": null, ', '"usage":null,', r'"x": [{"text": "\"usage\":null,", "usage": null}], "usage": null, ']
)
def test_null_is_taken_out_of_an_event_and_nothing_else(field: str) -> None:
    event = b'data: {"a": 1.10, %b"z": [null]}\n\n' % field.encode()
    given = StreamUsage(hidden=True).read(event)
    document: dict[str, Any] = json.loads(event[5:])
    del document["usage"]
    assert json.loads(given[5:]) == document
    assert given.endswith(b"\n\n")
    assert b"1.10" in given


def test_an_event_that_only_has_such_a_field_deeper_is_left_alone() -> None:
    event = b'data: {"choices": [{"usage": null}], "x": {"usage": {"prompt_tokens": 1}}}\n\n'
    usage = StreamUsage(hidden=True)
    assert usage.read(event) == event
    assert usage.found is None


@given(
    st.lists(st.sampled_from(["text", "null", "usage", "both"]), max_size=6),
    st.sampled_from([b"\n\n", b"\r\n\r\n"]),
    st.booleans(),
)
def test_of_a_streams_events_only_what_was_not_asked_for_is_taken_out(kinds, end, hidden) -> None:
    said = json.dumps(SAID).encode()
    sent = {
        "text": b'data: {"choices":[1]}',
        "null": b'data: {"choices":[1],"usage":null}',
        "usage": b'data: {"choices":[],"usage":%b}' % said,
        "both": b'data: {"choices":[1],"usage":%b}' % said,
    }
    given = {**sent, "null": sent["text"], "usage": b""} if hidden else sent
    usage = StreamUsage(hidden=hidden)
    assert usage.read(b"".join(sent[kind] + end for kind in kinds)) == b"".join(
        given[kind] + end for kind in kinds if given[kind]
    )
    assert usage.found == ((7, 5) if {"usage", "both"}.intersection(kinds) else None)
    assert not usage.is_cut


def test_an_estimate_of_one_token_an_event_is_their_number_without_the_opening() -> None:
    opening, *others = [
        b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % text for text in (b"", b" one", b" two")
    ]
    assert of_events(len(opening) + 2 * len(others[0]), 3, opening, others[-1]) == 2
