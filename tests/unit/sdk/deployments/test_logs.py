"""Logs of pods: one after another, or as they come."""

import itertools

import pytest

from fastchat import errors
from fastchat.deployments import logs
from fastchat.deployments.logs import Followed, LogLine, names, source_of, written

GONE = errors.KubernetesError("gone", status_code=404)
WAITS = errors.KubernetesError("container is waiting to start", status_code=400)


def reader(**pieces):
    """Reads what each pod is to have written: a list of pieces, or of such lists, one for each time that it is read."""
    times = {pod: itertools.chain(said, itertools.repeat(GONE)) for pod, said in pieces.items()}

    def read(pod, follow):
        said = next(times[pod])
        if isinstance(said, Exception):
            raise said
        yield from said

    return read


def test_lines_are_put_together_from_pieces_and_have_their_pods_names():
    read = reader(a=[[b"one\ntw", b"o\nth", b"ree"]], b=[["ü\n".encode()[:1], "ü\n".encode()[1:]]])
    lines = [LogLine("a", "one"), LogLine("a", "two"), LogLine("a", "three"), LogLine("b", "ü")]
    assert list(written(["a", "b"], read)) == lines


def test_what_is_no_text_is_shown_all_the_same():
    assert list(written(["a"], reader(a=[[b"\xff\n"]]))) == [LogLine("a", "�")]


def test_a_pod_without_a_log_is_passed_over_and_told_of_where_it_is_the_only_one():
    assert list(written(["a", "b"], reader(a=[WAITS], b=[[b"x\n"]]))) == [LogLine("b", "x")]
    with pytest.raises(errors.KubernetesError, match="waiting to start"):
        list(written(["a"], reader(a=[WAITS])))


def test_a_container_that_begins_later_and_begins_again_is_followed_and_nothing_is_told_twice(monkeypatch):
    monkeypatch.setattr(logs, "_LOOK_SECONDS", 0.01)
    first = b"2026-11-23T04:00:00.000000001Z one\n"
    read = reader(a=[WAITS, [first], [first, b"2026-11-23T04:00:00.000000002Z two words\n"]])
    followed = iter(Followed(lambda: ["a"], read))
    assert list(itertools.islice(followed, 2)) == [LogLine("a", "one"), LogLine("a", "two words")]


def test_pods_that_come_later_are_followed_too(monkeypatch):
    monkeypatch.setattr(logs, "_LOOK_SECONDS", 0.01)
    read = reader(a=[[b"1 one\n"]], b=[[b"1 two\n"]])
    looks = itertools.chain([["a"]], itertools.repeat(["a", "b"]))
    followed = iter(Followed(lambda: next(looks), read))
    assert set(itertools.islice(followed, 2)) == {LogLine("a", "one"), LogLine("b", "two")}


def test_whose_logs_are_meant():
    assert source_of("vicuna") == ("fastchat.io/model-deployment=vicuna,app.kubernetes.io/component=worker", "worker")
    assert source_of(None) == ("app.kubernetes.io/component=gateway", "gateway")


def test_the_oldest_pod_comes_first():
    pods = [{"metadata": {"name": name, "creationTimestamp": born}} for name, born in (("a", "2"), ("b", "1"))]
    assert names(pods) == ["b", "a"]
