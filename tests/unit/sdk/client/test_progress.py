import json

import httpx
import pytest

from fastchat._client.losses import Losses
from fastchat._client.progress import Progress
from fastchat.errors import APIConnectionError, APIStatusError

ORIGIN = "r 1764510000 00000000000000ff abcd"


def progress(*comments: str) -> Progress:
    made = Progress()
    for comment in comments:
        made.note(comment)
    return made


def test_a_stream_that_says_nothing_of_progress_cannot_go_on() -> None:
    made = progress(" waiting for a worker", "t 0 1")
    assert not made.is_known


def test_what_was_generated_is_told_by_choice() -> None:
    made = progress(ORIGIN, "t 1 5,6 c3", "t 0 - c3", "t 1 7 .")
    assert json.loads(made.document()) == {
        "created": 1764510000,
        "seed": "00000000000000ff",
        "model": "abcd",
        "choices": [
            {"tokens": [], "cached": 3, "ended": False},
            {"tokens": [5, 6, 7], "cached": 3, "ended": True},
        ],
    }


@pytest.mark.parametrize("comment", ["t x 1", "t 0 1,y", "t 0", "t", "r 1"])
def test_a_comment_that_makes_no_sense_ends_what_is_known(comment) -> None:
    assert not progress(ORIGIN, comment).is_known


def test_losses_without_anything_new_between_them_are_counted() -> None:
    made = progress(ORIGIN)
    losses = Losses(made, most=2)
    broken = httpx.ReadError("gone", request=httpx.Request("POST", "http://gateway"))
    assert all(losses.delay(broken) > 0 for _ in range(2))
    with pytest.raises(APIConnectionError):
        losses.delay(broken)
    made.note("t 0 1")
    assert losses.delay(broken) > 0


def test_an_error_of_the_server_is_raised_unless_it_shuts_down() -> None:
    losses = Losses(progress(ORIGIN), most=2)
    assert losses.delay(APIStatusError("x", status_code=503, code="shutting_down")) > 0
    with pytest.raises(APIStatusError):
        losses.delay(APIStatusError("x", status_code=500, code="worker_lost"))
