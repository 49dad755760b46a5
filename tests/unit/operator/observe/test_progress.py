"""From pods and what gateways say of workers to what the status says of a load."""

import pytest

from fastchat.demand import Loading
from fastchat.v1alpha1.status import LoadProgress
from fastchat_operator.observe.progress import furthest_behind, join, quantity

SCHEDULED = {"type": "PodScheduled", "status": "True"}
HAS_ALL = {"type": "PodReadyToStartContainers", "status": "True"}
READY = {"type": "Ready", "status": "True"}


def container(**state):
    return [{"name": "worker", "image": "x", "ready": False, "started": False, "restartCount": 0, "state": state}]


PULLING = {
    "conditions": [SCHEDULED, HAS_ALL],
    "containerStatuses": container(waiting={"reason": "ContainerCreating"}),
}
MOUNTING = PULLING | {"conditions": [SCHEDULED, HAS_ALL | {"status": "False"}]}
LOADS = {"conditions": [SCHEDULED], "containerStatuses": container(running={"startedAt": "2026-11-23T05:00:09Z"})}
BROKEN = {"conditions": [SCHEDULED], "containerStatuses": container(terminated={"exitCode": 1, "message": "no model"})}


def test_where_no_worker_is_being_started_there_is_none(pod):
    assert furthest_behind([], {}) is None
    assert (
        furthest_behind([pod(conditions=[READY]), pod(**BROKEN), pod(**MOUNTING)], {"uid-pod": Loading("Loading")})
        is None
    )


def test_a_pod_with_its_volumes_and_no_container_pulls_its_image(pod):
    assert furthest_behind([pod(**PULLING)], {}) == LoadProgress(phase="Pulling", summary="Pulling")


def test_a_worker_that_nobody_says_anything_of_loads(pod):
    assert furthest_behind([pod(**LOADS)], {}) == LoadProgress(phase="Loading", summary="Loading")


def test_a_download_is_told_in_quantities_and_in_words(pod):
    load = Loading("Downloading", 4402341478, 14495514624, 95)
    assert furthest_behind([pod(**LOADS)], {"uid-pod": load}) == LoadProgress(
        phase="Downloading", done="4.1Gi", total="13.5Gi", percent=30, eta_seconds=95,
        summary="Downloading 30%, 95s left",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("load", "summary"),
    [
        (Loading("WarmingUp"), "Warming up"),
        (Loading("Loading", 1, 3), "Loading 33%"),
        (Loading("Downloading", 0, 0, 0), "Downloading, 0s left"),
        (Loading("Downloading", 0, 9, 119), "Downloading 0%, 119s left"),
        (Loading("Downloading", 0, 9, 720), "Downloading 0%, 12m left"),
        (Loading("Downloading", 0, 9, 7200), "Downloading 0%, 2h left"),
    ],
)
def test_its_words_are_short(pod, load, summary):
    assert furthest_behind([pod(**LOADS)], {"uid-pod": load}).summary == summary


@pytest.mark.parametrize(
    ("behind", "ahead"),
    [
        (Loading("Downloading", 9, 10), Loading("Loading", 0, 10)),
        (Loading("Loading", 9, 10), Loading("WarmingUp")),
        (Loading("Downloading", 1, 10, 5), Loading("Downloading", 2, 10, 50)),
        (Loading("Downloading"), Loading("Downloading", 2, 10)),
    ],
)
def test_of_several_workers_the_one_that_is_furthest_behind_counts(pod, behind, ahead):
    pods, loads = [pod("a", **LOADS), pod("b", **LOADS)], {"uid-a": behind, "uid-b": ahead}
    assert furthest_behind(pods, loads) == furthest_behind(pods[:1], loads)


def test_what_is_said_of_other_pods_does_not_count(pod):
    assert furthest_behind([pod(conditions=[READY])], {"uid-pod": Loading("Loading")}) is None


def test_of_two_gateways_the_one_that_knows_more_counts():
    said = [
        ("a", Loading("Downloading", 5, 9)),
        ("a", Loading("Downloading", 7, 9)),
        ("a", Loading("Downloading", 6, 9)),
    ]
    assert join(said) == {"a": Loading("Downloading", 7, 9)}
    assert join([*said, ("a", Loading("Loading"))]) == {"a": Loading("Loading")}


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (1023, "1023"), (1024, "1.0Ki"), (1536 * 2**20, "1.5Gi"), (2**60, "1024.0Pi")]
)
def test_bytes_are_written_as_kubernetes_does(count, text):
    assert quantity(count) == text
