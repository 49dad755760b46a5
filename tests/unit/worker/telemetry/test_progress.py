"""What /ready says of a load, from what is reported of it."""

import pytest

from fastchat.demand import Loading
from fastchat_worker.telemetry.progress import LoadProgress, Transfer, following_transformers


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> LoadProgress:
    return LoadProgress(clock)


def test_before_anything_is_known_it_loads(progress: LoadProgress) -> None:
    assert progress.told() == Loading("Loading")


def test_a_download_tells_its_bytes_and_the_rest_gets_shorter_until_the_next_word(progress, clock) -> None:
    progress.report("looking for org/name")
    assert progress.told() == Loading("Downloading")
    progress.report("downloading org/name: 1 of 4 GB", Transfer(1, 4, 9.4))
    assert progress.told() == Loading("Downloading", 1, 4, 9)
    clock.now += 3
    assert progress.told() == Loading("Downloading", 1, 4, 6)
    clock.now += 30
    assert progress.told() == Loading("Downloading", 1, 4, 0)


def test_a_download_without_a_rate_has_no_end_in_sight(progress) -> None:
    progress.report("downloading", Transfer(0, 4, None))
    assert progress.told() == Loading("Downloading", 0, 4, None)


def test_reading_the_weights_takes_as_long_for_the_rest_as_for_what_was_read(progress, clock) -> None:
    progress.report("checking 2 files")
    assert progress.told() == Loading("Loading")
    progress.begin_weights(1000)
    progress.report("loading the weights", 0.0)
    clock.now += 3
    progress.report("loading the weights", 0.25)
    assert progress.told() == Loading("Loading", 250, 1000, 9)


def test_weights_that_are_gone_through_again_begin_anew(progress, clock) -> None:
    progress.begin_weights(1000)
    for share in (0.5, 1.0, 0.1):
        clock.now += 10
        progress.report("laying out the weights", share)
    assert progress.told() == Loading("Loading", 100, 1000, None)
    clock.now += 2
    progress.report("laying out the weights", 0.3)
    assert progress.told() == Loading("Loading", 300, 1000, 7)


def test_then_it_warms_up(progress) -> None:
    progress.begin_weights(1000)
    progress.report("making room for the cache")
    assert progress.told() == Loading("WarmingUp")


def test_transformers_tells_which_share_of_the_weights_it_has() -> None:
    from transformers.utils import logging

    shares: list[float] = []
    with following_transformers(shares.append):
        assert list(logging.tqdm({"a": 1, "b": 2}.items(), desc="Loading weights")) == [("a", 1), ("b", 2)]
        assert list(logging.tqdm([1], desc="Other")) == [1]
    assert shares == [0.0, 0.5, 1.0]
    list(logging.tqdm([1], desc="Loading weights"))
    assert len(shares) == 3
