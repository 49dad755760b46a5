from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat._client.sse import Comment, Event, EventParser


def events(*chunks: bytes) -> list[str]:
    parser = EventParser()
    return [item for chunk in chunks for item in parser.feed(chunk) if isinstance(item, Event)]


def test_an_event_ends_at_a_blank_line() -> None:
    assert events(b"data: one\n\ndata: two\n\n") == ["one", "two"]


def test_an_event_without_a_blank_line_is_not_given() -> None:
    assert events(b"data: one\n\ndata: two\n") == ["one"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_of_the_standard_is_taken(end: bytes) -> None:
    assert events(b"data: one" + end + end + b"data: two" + end + end) == ["one", "two"]


def test_crlf_cut_in_the_middle_is_one_line_ending() -> None:
    assert events(b"data: one\r", b"\ndata: two\r", b"\n\r", b"\n") == ["one\ntwo"]


def test_an_empty_chunk_between_cr_and_lf_changes_nothing() -> None:
    assert events(b"data: one\r", b"", b"\ndata: two\r\n\r\n") == ["one\ntwo"]


def test_an_event_that_ends_in_cr_is_given_before_the_next_byte() -> None:
    assert events(b"data: one\r\r") == ["one"]


def test_several_data_lines_are_one_event_of_several_lines() -> None:
    assert events(b'data: {"a":\ndata: 1}\n\n') == ['{"a":\n1}']


def test_comments_come_where_they_stand() -> None:
    items = list(EventParser().feed(b"data: one\n\n:t 0 1\n\ndata: two\n\n"))
    assert items == ["one", "t 0 1", "two"]
    assert [isinstance(item, Comment) for item in items] == [False, True, False]


def test_comments_and_other_fields_are_no_events() -> None:
    assert events(b": waiting\n\nevent: x\nid: 1\nretry: 5\ndata: one\n: waiting\n\n") == ["one"]


def test_an_event_without_data_is_none() -> None:
    assert events(b"event: ping\n\n\n\n") == []


def test_one_space_after_the_colon_is_not_data() -> None:
    assert events(b"data:one\n\ndata:  two\n\n") == ["one", " two"]


def test_a_field_without_a_colon_is_empty() -> None:
    assert events(b"data\n\n") == [""]


def test_a_line_separator_of_unicode_is_data() -> None:
    assert events("data: a\u2028b\x85c\x0bd\n\n".encode()) == ["a\u2028b\x85c\x0bd"]


@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 200)),
)
def test_where_the_bytes_are_cut_changes_nothing(texts: list[str], end: str, cuts: list[int]) -> None:
    stream = "".join(f": waiting{end}{end}data: {text}{end}{end}" for text in texts).encode()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:stop] for start, stop in pairwise(edges)]
    assert events(*chunks) == texts
