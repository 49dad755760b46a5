"""A lock between workers that share a volume."""

import errno
import fcntl
import os

import pytest

from fastchat_worker.sources.lock import Lock, LockRefusedError


@pytest.fixture
def two(tmp_path):
    locks = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    yield locks
    for lock in locks:
        lock.release()


def test_one_may_have_it_alone(two):
    one, other = two
    assert one.take()
    assert not other.take()
    assert not other.take(shared=True)


def test_several_may_share_it(two):
    one, other = two
    assert one.take(shared=True)
    assert other.take(shared=True)
    assert not other.take()


def test_who_has_it_alone_may_begin_to_share_it(two):
    one, other = two
    assert one.take()
    assert one.take(shared=True)
    assert other.take(shared=True)


def test_who_waits_hears_what_the_holder_does(two):
    one, other = two
    heard: list[str] = []
    one.take()

    def hear(text: str, _far: object = None, /) -> None:
        heard.append(text)

    tell = one.publishing(hear)
    tell("downloading: 100 of 200 GB")
    tell("downloading: 2 of 2 GB")
    attempts = iter([False, True])
    other.wait(lambda: next(attempts), hear)
    assert heard == [
        "downloading: 100 of 200 GB",
        "downloading: 2 of 2 GB",
        "another worker is downloading: 2 of 2 GB",
    ]


def test_without_locks_who_reads_goes_on_and_who_would_write_is_refused(two, monkeypatch, caplog):
    def missing(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", missing)
    for lock in two:
        assert lock.take(shared=True)
        with pytest.raises(LockRefusedError, match=r"lock cannot be locked \(Function not implemented\)"):
            lock.take()
    assert caplog.text.count("lock cannot be locked (Function not implemented)") == 2
