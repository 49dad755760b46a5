"""Texts of all requests in turn, and what becomes of one that the model fails at."""

import math
import random
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from support.eventually import eventually

from fastchat_worker.encoders.batcher import Batcher, NotFiniteError
from fastchat_worker.encoders.text import Kind, Text
from fastchat_worker.engine import breakage

FAILS, NAN, INFINITE = 666, 777, 888
"""Tokens that the encoder below fails at, or makes of them what is no number."""


class Scripted:
    """Encodes a text as its first token, once it may begin, and remembers the batches and their padding.

    computed: tokens, padding included.
    """

    max_len = 8
    tokenizer = None

    def __init__(self) -> None:
        self.may_begin = threading.Event()
        self.batches: list[list[int]] = []
        self.broken = False
        self.computed = 0

    @property
    def order(self) -> list[int]:
        return [token for batch in self.batches for token in batch]

    def tokens(self, text: str, param: str) -> list[int]:
        raise NotImplementedError

    def split(self, text: str, *, special: bool = True) -> list[int]:
        raise NotImplementedError

    def encode(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        assert self.may_begin.wait(30)
        first = [text.tokens[0] for text in texts]
        self.batches.append(first)
        self.computed += len(texts) * max(len(text.tokens) for text in texts)
        if FAILS in first or self.broken:
            raise RuntimeError("out of memory")
        numbers = {NAN: math.nan, INFINITE: math.inf}
        return np.array([[numbers.get(token, token)] for token in first], np.float32)


def texts_of(*tokens: int, kind: Kind = Kind()) -> list[Text]:  # noqa: B008  # frozen
    return [Text([token], kind=kind) for token in tokens]


def test_a_text_of_another_key_waits_for_one_and_not_for_all_that_came_before() -> None:
    encoder = Scripted()
    batcher = Batcher(encoder, budget=1, max_waiting=999)
    many = batcher.submit(texts_of(*range(100)), "alice")
    one = batcher.submit(texts_of(1000), "bob")
    encoder.may_begin.set()
    for future in [*many, *one]:
        future.result(30)
    assert encoder.order.index(1000) <= 2
    assert [each for each in encoder.order if each < 1000] == list(range(100))


@pytest.mark.parametrize(("bad", "error"), [(NAN, NotFiniteError), (INFINITE, NotFiniteError), (FAILS, RuntimeError)])
def test_a_text_that_the_model_fails_at_ends_alone(bad: int, error: type[Exception]) -> None:
    encoder = Scripted()
    batcher = Batcher(encoder, budget=99, max_waiting=999)
    batcher.submit(texts_of(0))  # while this one is encoded the others gather
    before, wrong, after = (batcher.submit(texts_of(token), f"key{token}")[0] for token in (1, bad, 2))
    encoder.may_begin.set()
    assert (before.result(30)[0], after.result(30)[0]) == (1, 2)
    with pytest.raises(error):
        wrong.result(30)
    assert any(bad in batch and len(batch) > 1 for batch in encoder.batches)
    assert batcher.submit(texts_of(3))[0].result(30)[0] == 3


def test_a_text_that_fails_does_not_make_an_encoder_seem_broken_and_one_that_worked_before_does(monkeypatch) -> None:
    monkeypatch.setattr(breakage, "_PAUSE", 0.01)
    encoder = Scripted()
    encoder.may_begin.set()
    batcher = Batcher(encoder, budget=99, max_waiting=999)
    batcher.submit(texts_of(1))[0].result(30)
    for _ in range(5):
        batcher.submit(texts_of(FAILS))[0].exception(30)
    batcher.submit(texts_of(1))[0].result(30)
    assert not batcher.broken
    encoder.broken = True
    batcher.submit(texts_of(2))[0].exception(30)
    eventually(lambda: batcher.broken == "the model cannot compute any more: out of memory", 30)


def test_texts_of_two_kinds_are_never_in_one_batch() -> None:
    encoder = Scripted()
    batcher = Batcher(encoder, budget=99, max_waiting=999)
    batcher.submit(texts_of(0))
    futures = batcher.submit(texts_of(1, 2, kind=Kind("query"))) + batcher.submit(texts_of(3, 4, kind=Kind("document")))
    encoder.may_begin.set()
    assert [future.result(30)[0] for future in futures] == [1, 2, 3, 4]
    assert all({1, 2}.isdisjoint(batch) or {3, 4}.isdisjoint(batch) for batch in encoder.batches)


def test_the_texts_of_a_request_are_encoded_by_length_and_returned_in_their_order() -> None:
    encoder = Scripted()
    batcher = Batcher(encoder, budget=1, max_waiting=999)
    futures = batcher.submit([Text([1] * 3), Text([2]), Text([3] * 2)])
    encoder.may_begin.set()
    assert [future.result(30)[0] for future in futures] == [1, 2, 3]
    assert encoder.order == [1, 3, 2]


@pytest.mark.parametrize("seed", range(20))
def test_requests_of_texts_of_all_lengths_need_little_padding_however_far_each_is(seed: int) -> None:
    draw = random.Random(seed)
    encoder = Scripted()
    batcher = Batcher(encoder, budget=512, max_waiting=9999)
    requests = [
        [
            Text([draw.randrange(500)] * (1 + int(draw.expovariate(1 / 20)) % 150))
            for _ in range(draw.choice([1, 9, 200]))
        ]
        for _ in range(draw.randint(1, 30))
    ]
    futures = [(batcher.submit(texts, draw.choice("abc")), texts) for texts in requests]
    encoder.may_begin.set()
    for found, texts in futures:
        assert [future.result(30)[0] for future in found] == [text.tokens[0] for text in texts]
    tokens = sum(len(text.tokens) for texts in requests for text in texts)
    count = sum(map(len, requests))
    assert encoder.computed <= 1.25 * tokens + 8 * count
    assert count < 1000 or encoder.computed < 1.2 * tokens
