"""A stream that is cut anywhere goes on elsewhere, byte for byte."""

import json
import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from .cutting import Progress, Response, post
from .equality import check_same
from .kinds import ONE, SEVERAL, Kind


def streamed(url: str, kind: Kind, before: bytes = b"") -> Response:
    path, body = kind
    response = post(url, path, {"model": "small", "stream": True, **body}, before)
    assert response.status == 200, response
    assert response.headers["x-fastchat-resumable"] == "1"
    return response


@pytest.mark.parametrize("kind", ONE.values(), ids=ONE)
def test_a_stream_of_one_choice_goes_on_after_any_unit(pair, kind):
    first, second = pair
    whole = streamed(first, kind)
    assert len(whole.chunks) > 2, whole

    def resume(cut: int) -> None:
        resumed = streamed(second, kind, Progress.of(whole.chunks[:cut]).document(1))
        check_same(resumed.body, b"".join(whole.chunks[cut:]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(resume, cuts(len(whole.chunks))))


@pytest.mark.parametrize("kind", SEVERAL.values(), ids=SEVERAL)
def test_streams_of_several_choices_go_on_with_each(pair, kind):
    first, second = pair
    whole = streamed(first, kind).chunks
    choices = len(Progress.of(whole[:-1]).tokens)

    def resume(cut: int) -> None:
        resumed = streamed(second, kind, Progress.of(whole[:cut]).document(choices)).chunks
        for mine, wanted in zip(by_choice(resumed[:-1]), by_choice(whole[cut:-1]), strict=True):
            check_same(mine, wanted)
        check_same(resumed[-1], whole[-1])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(resume, cuts(len(whole))))


def cuts(units: int) -> list[int]:
    """After the first unit, before the last, and after some in between."""
    chosen = random.Random(units).sample(range(1, units), min(units - 1, 5))
    return sorted({1, units - 1, *chosen})


def by_choice(units: Sequence[bytes]) -> list[bytes]:
    """What each has, in the order of its units."""
    found: dict[int, list[bytes]] = {}
    for unit in units:
        (choice,) = Progress.of([unit]).tokens
        found.setdefault(choice, []).append(unit)
    return [b"".join(found[choice]) for choice in sorted(found)]


def test_a_stream_goes_on_a_second_time_and_back_again(pair):
    first, second = pair
    kind = ONE["logprobs"]
    whole, progress, had = streamed(first, kind), Progress(), []
    for turn in range(6):
        url = (first, second)[turn % 2]
        chunks = streamed(url, kind, progress.document(1) if had else b"").chunks
        taken = chunks if turn == 5 else chunks[:3]
        for unit in taken[:-1] if turn == 5 else taken:
            progress.add(unit)
        had += taken
    identity = re.compile(rb"chatcmpl-\w+|\"created\":\d+|:r [^\n]*")
    check_same(identity.sub(b"", b"".join(had)), identity.sub(b"", whole.body))


def test_what_the_first_worker_found_is_in_the_usage_and_what_is_left_in_the_cache_is_not_read_again(pair):
    path, body = ONE["usage"]
    kind = path, body | {"messages": [{"role": "user", "content": "Please count to " + "many " * 100}]}
    progress = Progress.of(streamed(pair[0], kind).chunks[:8])
    progress.cached = {0: 5}
    read = []
    for _ in range(2):
        before = tokens_read(pair[1])
        usage = json.loads(streamed(pair[1], kind, progress.document(1)).chunks[-1].split(b"\n")[0][6:])["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 5
        read.append(tokens_read(pair[1]) - before)
    assert read[1] < 10 < read[0]


def tokens_read(url: str) -> float:
    lines = httpx.get(url + "/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("fastchat_worker_prompt_tokens_read_total"))


def test_without_the_header_there_are_no_comments(pair):
    path, body = ONE["greedy"]
    plain = post(pair[0], path, {"model": "small", "stream": True, **body}, headers={"x-fastchat-resumable": "0"})
    assert "x-fastchat-resumable" not in plain.headers
    events = plain.body.decode().split("\n\n")
    assert all(event.startswith("data: ") for event in events[:-1])
    assert json.loads(events[0].removeprefix("data: "))["choices"][0]["delta"]["role"] == "assistant"
