import json
from typing import Any

import pytest

from fastchat._kube import response
from fastchat._kube.errors import ApiError, RelistNeeded, UnreachableError

CONFLICT = {"kind": "Status", "message": "the object has been modified", "reason": "Conflict", "code": 409}


def refused(status: int, body: bytes = b"", **headers: str) -> ApiError:
    return response.refusal(status, "Phrase", {name.replace("_", "-"): value for name, value in headers.items()}, body)


def told(type_: str, **metadata: Any) -> bytes:
    return json.dumps({"type": type_, "object": {"metadata": metadata}}).encode()


def test_a_refusal_is_in_the_api_servers_own_words() -> None:
    error = refused(409, json.dumps(CONFLICT).encode())
    assert (error.status, error.reason, str(error)) == (409, "Conflict", "the object has been modified")


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"no healthy upstream\n", "no healthy upstream"), (b"", "503 Phrase"), (b"[]", "[]"), (b'{"message": null}', "")],
)
def test_a_refusal_by_somebody_else_is_told_as_it_is(body: bytes, text: str) -> None:
    assert str(refused(503, body)).startswith(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("7", 7), ("3600", 120), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("-1", 0)]
)
def test_a_retry_after_is_a_number_of_seconds_and_two_minutes_at_most(text: str, seconds: float) -> None:
    assert refused(429, retry_after=text).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "final", "refusal"),
    [
        (0, False, False),
        (404, True, True),
        (409, False, False),
        (422, True, True),
        (429, False, False),
        (500, False, True),
        (503, False, False),
    ],
)
def test_what_would_be_refused_again_is_known(status: int, final: bool, refusal: bool) -> None:
    error = ApiError(status, "no")
    assert (error.final, error.refusal) == (final, refusal)


def test_what_is_no_json_or_too_deep_counts_as_no_response() -> None:
    with pytest.raises(UnreachableError, match="no JSON"):
        response.decode(b"<html>")
    with pytest.raises(UnreachableError, match="nested too deeply"):
        response.decode(b"[" * 1_000_000)


def test_a_page_says_where_to_watch_from_and_whether_there_is_another() -> None:
    page = response.page({"metadata": {"resourceVersion": "7", "continue": "x"}, "items": [{"a": 1}]})
    assert (page.version, page.things, page.following) == ("7", [{"a": 1}], "x")
    assert response.page({"metadata": {"resourceVersion": "7"}, "items": None}) == response.Page("7", [], "")


@pytest.mark.parametrize("said", [{}, {"metadata": None}, {"metadata": {}}])
def test_what_is_no_listing_is_not_taken_for_an_empty_one(said: dict[str, Any]) -> None:
    with pytest.raises(RelistNeeded):
        response.page(said)


def test_an_event_has_a_type_an_object_and_a_version() -> None:
    event = response.event(told("MODIFIED", name="m", resourceVersion="8"))
    assert (event.type, event.thing["metadata"]["name"], event.version) == ("MODIFIED", "m", "8")
    assert response.event(told("BOOKMARK", resourceVersion="9")).version == "9"


def test_a_version_that_is_gone_asks_for_a_new_listing_and_says_why() -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version: 1 (7)"}}
    with pytest.raises(RelistNeeded, match=r"the watch ended: too old resource version: 1 \(7\)"):
        response.event(json.dumps(gone).encode())


@pytest.mark.parametrize(
    "line",
    [
        *(b"nonsense", b"[]", b"{}", b"", b"[" * 1_000_000, b'{"type": "ERROR", "object": 7}'),
        *(told("ADDED"), told("ADDED", resourceVersion="1"), told("ADDED", name="m"), told("BOOKMARK")),
    ],
)
def test_an_event_that_makes_no_sense_asks_for_a_new_listing(line: bytes) -> None:
    with pytest.raises(RelistNeeded):
        response.event(line)
