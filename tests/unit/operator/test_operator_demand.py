"""What is read of a gateway's word."""

import pytest

from fastchat_operator.demand import Demand, read

LINE = (
    b'{"models":{"m":{"held":3,"endpoints":[{"url":"http://a:8000","uid":"one","outstanding":2},'
    b'{"url":"http://b:8000","uid":"two","outstanding":5}]},"idle":{"held":0,"endpoints":[]}}}\n'
)


def test_a_line_is_demand_by_model_and_worker():
    assert read(LINE) == {"m": Demand(3, {"one": 2, "two": 5}), "idle": Demand()}
    assert read(LINE)["m"].in_flight == 7


@pytest.mark.parametrize("line", [b"", b"{}", b'{"models":{"m":{}}}', b'{"models":{"m":{"held":"x","endpoints":[]}}}'])
def test_nonsense_is_not_taken_for_no_demand(line):
    with pytest.raises(ValueError, match="validation error"):
        read(line)
