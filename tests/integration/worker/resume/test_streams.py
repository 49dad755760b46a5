"""A stream that is cut anywhere goes on elsewhere, byte for byte."""

import pytest

from .cutting import Progress, post

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Say something."}], "max_tokens": 24, "stream": True}


def test_greedy(pair):
    first, second = pair
    whole = post(first.url, "/v1/chat/completions", CHAT | {"temperature": 0})
    assert whole.status == 200, whole
    print(whole.headers, whole.chunks)
    for cut in range(1, len(whole.chunks)):
        before = Progress.of(whole.chunks[:cut]).document(1)
        resumed = post(second.url, "/v1/chat/completions", CHAT | {"temperature": 0}, before)
        assert resumed.status == 200, resumed
        assert resumed.body == b"".join(whole.chunks[cut:]), cut
