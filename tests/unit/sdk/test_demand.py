"""What a gateway tells the autoscaler: written, and read by one who believes nothing."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.demand import (
    LOAD_PHASES,
    LONGEST_LINE_BYTES,
    Demand,
    Loading,
    Worker,
    check_length,
    decode,
    encode,
    read_loading,
)

COUNTS = st.integers(0, 1_000_000)
EVER = st.integers(0, 2**53)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=128)
BYTES = st.none() | st.integers(0, 2**40)
LOADS = st.none() | st.builds(Loading, st.sampled_from(LOAD_PHASES), BYTES, BYTES, st.none() | COUNTS).filter(
    lambda load: load.total is None or load.done is None or load.done <= load.total
)
WORKERS = st.builds(Worker, TEXTS, TEXTS, COUNTS, LOADS)
DEMANDS = st.dictionaries(
    TEXTS,
    st.builds(
        Demand,
        COUNTS,
        st.lists(st.builds(Worker, TEXTS, TEXTS, COUNTS, LOADS), max_size=4).map(tuple),
        EVER,
        EVER,
        EVER,
    ),
    max_size=4,
)

LINE = (
    b'{"models":{"m":{"held":3,"endpoints":[{"url":"http://a:8000","uid":"one","outstanding":2},'
    b'{"url":"http://b:8000","uid":"two","outstanding":5}]},"idle":{"held":0,"endpoints":[]}}}\n'
)


def test_a_line_is_demand_by_model_and_worker():
    demands = decode(LINE)
    workers = (Worker("http://a:8000", "one", 2), Worker("http://b:8000", "two", 5))
    assert demands == {"m": Demand(3, workers), "idle": Demand()}
    assert demands["m"].outstanding == {"one": 2, "two": 5}
    assert demands["m"].in_flight == 7


def test_a_line_is_written_as_it_always_was():
    assert encode(decode(LINE)) == LINE


@given(DEMANDS)
def test_what_is_written_is_read_back(demands):
    assert decode(encode(demands)) == demands


@given(DEMANDS)
def test_a_line_is_compact_json_and_nothing_else(demands):
    models = {
        name: {"held": demand.held, "endpoints": [_as_written(worker) for worker in demand.workers]}
        | ({"moved": demand.moved} if demand.moved else {})
        | ({"cut": demand.cut} if demand.cut else {})
        | ({"paused": demand.paused} if demand.paused else {})
        for name, demand in demands.items()
    }
    assert encode(demands) == msgspec.json.encode({"models": models}) + b"\n"


def _as_written(worker):
    about = {"url": worker.url, "uid": worker.uid, "outstanding": worker.outstanding}
    load = {
        name: value for name, value in (worker.loading or Loading("Loading"))._asdict().items() if value is not None
    }
    return about | ({"loading": load} if worker.loading else {})


def test_a_worker_that_loads_says_how_far_it_is():
    line = b'{"models":{"m":{"held":0,"endpoints":[{"uid":"one","outstanding":0,"loading":%s}]}}}'
    load = b'{"phase":"Downloading","done":1,"total":4,"seconds":3,"new":0}'
    [worker] = decode(line % load)["m"].workers
    assert worker.loading == Loading("Downloading", 1, 4, 3)


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        (None, None),
        ([], None),
        ({"phase": "Thinking", "done": 1}, None),
        ({"phase": ["Loading"]}, None),
        ({"phase": "Loading", "done": -1, "total": True, "seconds": "3"}, Loading("Loading")),
        ({"phase": "Loading", "done": 5, "total": 4, "seconds": 10**400}, Loading("Loading", None, 4, None)),
    ],
)
def test_a_load_that_makes_no_sense_is_not_known_and_spoils_nothing(said, understood):
    assert read_loading(said) == understood


@pytest.mark.parametrize("url", ["", ',"url":null', ',"url":7', ',"zone":{"a":[1]}'])
def test_a_gateway_of_another_release_is_understood(url):
    line = f'{{"models":{{"m":{{"held":1,"endpoints":[{{"uid":"one","outstanding":2{url}}}],"new":0}}}},"since":1}}'
    assert decode(line.encode()) == {"m": Demand(1, (Worker("", "one", 2),))}


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
    "less than none moved": b'{"models":{"m":{"held":0,"endpoints":[],"moved":-1}}}',
    "depth": b'{"models":' + 100_000 * b"[" + 100_000 * b"]" + b"}",
}


@pytest.mark.parametrize("line", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_not_taken_for_no_demand(line):
    with pytest.raises(ValueError, match=r"is not|characters|EOF|recursion"):
        decode(line)


def test_a_line_with_a_fault_in_every_element_is_refused_at_the_first():
    """A complaint about each would take a second of the event loop."""
    line = b'{"models":{"m":{"held":0,"endpoints":[' + b",".join([b"{}"] * 80_000) + b"]}}}"
    with pytest.raises(ValueError, match="uid") as refused:
        decode(line)
    assert len(str(refused.value)) < 100


def test_a_line_of_256_kib_is_read_and_a_longer_one_is_not():
    longest = LINE.rstrip().ljust(LONGEST_LINE_BYTES)
    check_length(longest)
    assert decode(longest) == decode(LINE)
    with pytest.raises(ValueError, match="longer than 256 KiB"):
        decode(longest + b" ")


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_whatever_else_comes_is_refused_and_breaks_nothing(line):
    with pytest.raises(ValueError):  # noqa: PT011  # there are as many messages as ways to be wrong
        decode(line if isinstance(line, bytes) else line.encode())
