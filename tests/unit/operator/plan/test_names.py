"""Names that the operator gives to what it makes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.v1alpha1.names import worker_name

LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join).filter(lambda name: len(name) <= 63)


@given(NAMES)
def test_every_model_has_a_name_for_its_service(name):
    assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", worker_name(name))


@given(st.lists(NAMES, unique=True))
def test_different_models_have_different_names(names):
    assert len({worker_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("pair", [("a.b", "a-b"), ("1a", "m-1a"), ("a" * 60, "a" * 61), ("a.b.c", "a.b-c")])
def test_names_that_would_become_one_stay_two(pair):
    assert len({worker_name(name) for name in pair}) == 2


def test_a_plain_name_is_kept():
    assert worker_name("smollm2") == "smollm2-worker"


@given(NAMES)
def test_the_name_says_whose_it_is(name):
    assert worker_name(name).endswith("-worker")
    assert re.sub("[^a-z0-9]", "-", name)[:8].strip("-") in worker_name(name)
