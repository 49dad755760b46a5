"""Workers that ask for GPUs go where there are some. No GPU is needed: the node only says that it has four."""

import pytest


@pytest.fixture(scope="module")
def team(make_namespace, local_cluster):
    """A namespace whose gateway runs already: the only node is then one for GPU workloads."""
    team = make_namespace("gpus")
    team.simulator("plain")
    team.wait_ready("plain")
    local_cluster.offer("nvidia.com/gpu", 4)
    local_cluster.kubectl("taint", "node", "--all", "nvidia.com/gpu=present:NoSchedule")
    yield team
    local_cluster.kubectl("taint", "node", "--all", "nvidia.com/gpu-")
    local_cluster.offer("nvidia.com/gpu", None)


def test_workers_get_their_gpus_and_tolerate_the_taint_of_gpu_nodes(team):
    team.simulator("pair", gpus=2, replicas=2)
    team.wait_ready("pair")
    for pod in team.pods("pair"):
        assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_with_all_gpus_taken_a_change_replaces_one_worker_after_the_other(team):
    before = {pod["metadata"]["name"] for pod in team.pods("pair")}
    team.simulator("pair", "--tokens=5", gpus=2, replicas=2)
    team.wait(
        lambda: {pod["metadata"]["name"] for pod in team.pods("pair")},
        lambda now: len(now) == 2 and not now & before,
        90,
    )
    team.wait_ready("pair")


def test_one_gpu_too_many_is_told_in_the_schedulers_words(team):
    team.simulator("third", gpus=1)
    seen = team.wait(lambda: team.condition("third"), lambda condition: condition.get("reason") == "Unschedulable")
    assert "Insufficient nvidia.com/gpu" in seen["message"]
