from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat._kube.errors import RelistNeeded
from fastchat._kube.kind import Kind
from fastchat._kube.response import Event
from fastchat._kube.watch import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Backoff, Lines, Mirror, Selection


def thing(name: str, version: int, text: str | None = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "text": text}


class Reader:
    """Keeps the text of an object, nothing of one without, and counts."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, seen: Any) -> str | None:
        self.read.append(seen["metadata"]["name"])
        text: str | None = seen["text"]
        return text


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def mirror(reader: Reader) -> Mirror[str]:
    mirror = Mirror(reader)
    mirror.replace([thing("a", 1, "one"), thing("b", 2, "two")])
    return mirror


def test_a_listing_takes_the_place_of_what_was_there(mirror: Mirror[str]) -> None:
    mirror.replace([thing("b", 2, "two"), thing("c", 3, "three")])
    assert (list(mirror), mirror.get("a"), mirror.get("c")) == (["two", "three"], None, "three")


def test_events_add_change_and_delete(mirror: Mirror[str]) -> None:
    for kind, told in (
        ("ADDED", thing("c", 3, "three")),
        ("MODIFIED", thing("a", 4, "new")),
        ("DELETED", thing("b", 5)),
    ):
        mirror.apply(Event(kind, told))
    assert sorted(mirror) == ["new", "three"]
    mirror.apply(Event("DELETED", thing("b", 5)))
    assert len(mirror) == 2


def test_a_bookmark_changes_nothing(mirror: Mirror[str]) -> None:
    mirror.apply(Event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))
    assert list(mirror) == ["one", "two"]


def test_an_event_of_an_unknown_type_asks_for_a_new_listing(mirror: Mirror[str]) -> None:
    with pytest.raises(RelistNeeded, match="RENAMED"):
        mirror.apply(Event("RENAMED", thing("a", 2)))


def test_a_listing_of_what_is_no_object_changes_nothing(mirror: Mirror[str]) -> None:
    with pytest.raises(RelistNeeded):
        mirror.replace([thing("c", 3, "three"), {}])
    assert list(mirror) == ["one", "two"]


def test_what_is_known_in_this_version_is_not_read_again(mirror: Mirror[str], reader: Reader) -> None:
    mirror.replace([thing("a", 1, "one"), thing("b", 3, "changed")])
    assert reader.read == ["a", "b", "b"]


def test_what_cannot_be_read_is_left_out_counted_and_not_read_again(mirror: Mirror[str], reader: Reader) -> None:
    mirror.apply(Event("MODIFIED", thing("a", 3, None)))
    mirror.replace([thing("a", 3, None), thing("b", 2, "two")])
    assert (list(mirror), len(mirror), reader.read) == (["two"], 2, ["a", "b", "a"])


@given(st.lists(st.binary(max_size=5).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    parts = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    splitter = Lines()
    assert [line for part in parts for line in splitter.feed(part)] == lines


def test_what_has_not_ended_is_no_line() -> None:
    assert Lines().feed(b"one\ntwo") == [b"one"]


def test_pauses_double_up_to_the_longest_and_begin_anew_after_what_held() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    pauses = [backoff.after(0.1) for _ in range(7)]
    assert pauses[:3] == [2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS, 8 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert backoff.after(60) == FIRST_PAUSE_SECONDS
    assert backoff.after(0.1) == 2 * FIRST_PAUSE_SECONDS


def test_a_selection_is_named_with_what_it_is_selected_by() -> None:
    kind = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
    assert str(Selection(kind, "team")) == "endpointslices.discovery.k8s.io/v1"
    assert str(Selection(kind, "team", "app=a")) == "endpointslices.discovery.k8s.io/v1 of app=a"
