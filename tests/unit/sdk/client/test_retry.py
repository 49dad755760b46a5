from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat._client.retry import backoff, retry_after, retry_delay

REQUEST = httpx.Request("POST", "http://user:secret@gateway:8000/v1/chat/completions")


def response(status: int = 200, headers: Mapping[str, str] | None = None, **content: Any) -> httpx.Response:
    return httpx.Response(status, headers=headers, request=REQUEST, **content)


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout])
def test_what_reached_no_server_is_tried_again(failure: type[httpx.TransportError]) -> None:
    delay = retry_delay(failure(""), 0, 2)
    assert delay is not None
    assert 0.25 <= delay <= 0.5


@pytest.mark.parametrize("failure", [httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout, httpx.WriteError])
def test_what_may_have_reached_a_server_is_not_tried_again(failure: type[httpx.TransportError]) -> None:
    assert retry_delay(failure(""), 0, 2) is None


@pytest.mark.parametrize("status", [429, 503])
def test_the_servers_time_is_kept(status: int) -> None:
    delay = retry_delay(response(status, {"retry-after": "7"}), 0, 2)
    assert delay is not None
    assert 7.25 <= delay <= 7.5


@pytest.mark.parametrize(
    ("status", "headers"), [(200, {}), (429, {}), (503, {}), (500, {"retry-after": "1"}), (503, {"retry-after": "61"})]
)
def test_a_response_that_does_not_say_come_back_within_a_minute_is_final(status: int, headers: dict[str, str]) -> None:
    assert retry_delay(response(status, headers), 0, 2) is None


def test_after_the_last_attempt_the_outcome_is_final() -> None:
    assert retry_delay(httpx.ConnectError(""), 2, 2) is None


@given(st.integers(0, 100))
def test_the_back_off_doubles_up_to_8_seconds(attempt: int) -> None:
    longest = min(0.5 * 2**attempt, 8)
    assert longest / 2 <= backoff(attempt) <= longest


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, now=10.0) == seconds
