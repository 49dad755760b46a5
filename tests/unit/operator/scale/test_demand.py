"""What is read of a gateway's word."""

import pytest

from fastchat_operator.scale.demand import Demand, read

LINE = (
    b'{"models":{"m":{"held":3,"endpoints":[{"url":"http://a:8000","uid":"one","outstanding":2},'
    b'{"url":"http://b:8000","uid":"two","outstanding":5}]},"idle":{"held":0,"endpoints":[]}}}\n'
)


def test_a_line_is_demand_by_model_and_worker():
    assert read(LINE) == {"m": Demand(3, {"one": 2, "two": 5}), "idle": Demand()}
    assert read(LINE)["m"].in_flight == 7


NONSENSE = {
    "nothing": b"",
    "no models": b"{}",
    "a list": b"[]",
    "an empty model": b'{"models":{"m":{}}}',
    "text for a number": b'{"models":{"m":{"held":"x","endpoints":[]}}}',
    "true for a number": b'{"models":{"m":{"held":true,"endpoints":[]}}}',
    "less than none": b'{"models":{"m":{"held":-1,"endpoints":[]}}}',
    "400 digits": b'{"models":{"m":{"held":1' + 400 * b"0" + b',"endpoints":[]}}}',
    "an endpoint without uid": b'{"models":{"m":{"held":0,"endpoints":[{"outstanding":1}]}}}',
    "an endless uid": b'{"models":{"m":{"held":0,"endpoints":[{"outstanding":1,"uid":"' + 1000 * b"u" + b'"}]}}}',
    "depth": b'{"models":' + 100_000 * b"[" + 100_000 * b"]" + b"}",
}


@pytest.mark.parametrize("line", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_not_taken_for_no_demand(line):
    with pytest.raises(ValueError, match=r"is not|characters|EOF|recursion"):
        read(line)


def test_a_line_with_a_fault_in_every_element_is_refused_at_the_first():
    """A complaint about each would take a second of the event loop."""
    line = b'{"models":{"m":{"held":0,"endpoints":[' + b",".join([b"{}"] * 80_000) + b"]}}}"
    with pytest.raises(ValueError, match="uid") as refused:
        read(line)
    assert len(str(refused.value)) < 100
