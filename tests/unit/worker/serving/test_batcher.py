"""Texts of all requests in turn."""

import threading

import numpy as np
from fastchat_worker.serving.batcher import Batcher
from numpy.typing import NDArray


class OneByOne:
    """Embeds a text at a time, once it may begin, and remembers the order."""

    max_len, dimensions = 8, 1

    def __init__(self) -> None:
        self.may_begin = threading.Event()
        self.order: list[int] = []

    def tokens(self, text: object, param: str, keep: int | None = None) -> list[int]:
        raise NotImplementedError

    def encode(self, texts: list[list[int]]) -> NDArray[np.float32]:
        assert self.may_begin.wait(30)
        self.order += [tokens[0] for tokens in texts]
        return np.zeros((len(texts), 1), np.float32)


def test_a_text_of_another_key_waits_for_one_and_not_for_all_that_came_before() -> None:
    embedder = OneByOne()
    batcher = Batcher(embedder, budget=1, max_waiting=999)
    many = batcher.submit([[number] for number in range(100)], "alice")
    one = batcher.submit([[1000]], "bob")
    embedder.may_begin.set()
    for future in [*many, *one]:
        future.result(30)
    assert embedder.order.index(1000) <= 2
    assert [each for each in embedder.order if each < 1000] == list(range(100))
