"""Which of several releases for all namespaces was there first."""

import pytest

from fastchat_operator.release import first_of


def binding(release, namespace, born):
    metadata = {"name": f"{release}-operator", "creationTimestamp": born}
    labels = {"app.kubernetes.io/instance": release}
    return {"metadata": metadata | {"labels": labels}, "subjects": [{"name": "x", "namespace": namespace}]}


OLD, NEW = binding("one", "ns-1", "2026-01-01T00:00:00Z"), binding("two", "ns-2", "2026-01-02T00:00:00Z")


@pytest.mark.parametrize(
    ("bindings", "name", "namespace", "first"),
    [
        ([], "one-operator", "ns-1", None),
        ([NEW, OLD], "one-operator", "ns-1", None),
        ([NEW, OLD], "two-operator", "ns-2", ("one", "ns-1")),
        ([OLD], "one-operator", "ns-2", ("one", "ns-1")),
    ],
    ids=["alone", "first", "second", "of the same name in another namespace"],
)
def test_the_older_release_has_the_cluster(bindings, name, namespace, first):
    assert first_of(bindings, name, namespace) == first
