"""Types of command line options."""

import argparse

import pytest

from fastchat._runtime.options import between


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("65535", 65535), ("08", 8)])
def test_a_number_within_the_bounds_is_taken(text, number):
    assert between(0, 65535)(text) == number


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("70000", "70000 is not between 1 and 65535"),
        ("-1", "-1 is not between 1 and 65535"),
        ("x", "not a whole number: 'x'"),
        ("1.5", "not a whole number: '1.5'"),
        ("", "not a whole number: ''"),
        ("9" * 5000, "not a whole number: '999"),
    ],
    ids=lambda value: value[:30],
)
def test_anything_else_is_refused_with_what_it_is(text, why):
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        between(1, 65535)(text)
    assert str(refused.value).startswith(why)
