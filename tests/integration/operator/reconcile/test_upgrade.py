"""An operator of another release, or with other settings, comes to models that are served."""

import pytest
from integration.operator.team import model
from support.eventually import eventually

FIRST = {"gateway": "gateway:1", "worker": "worker:1", "vllm": "vllm:1"}
SECOND = {"gateway": "gateway:2", "worker": "worker:2", "vllm": "vllm:2"}
DONE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
MODELS = ("a", "b", "c")
VLLM = {"engine": {"type": "VLLM"}}


@pytest.fixture
def served(team, start_operator):
    """Three models of the first release, whose operator has been stopped."""
    first = start_operator(namespaces=[team.name], release=FIRST)
    team.apply(model("a"), model("b", **VLLM), model("c"))
    eventually(lambda: {"a-worker", "b-worker", "c-worker", "fastchat-gateway"} <= team.names("deployments"))
    assert first.stop() == 0
    for each in MODELS:
        report_ready(team, each)
    return team


def report_ready(team, name):
    """As the controller of Deployments says it."""
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    team.count(f"{name}-worker", **counts, conditions=[DONE])


def image(team, workload):
    return team.get("deployments", workload)["spec"]["template"]["spec"]["containers"][0]["image"]


def renewed(team):
    return {each for each in MODELS if image(team, f"{each}-worker") == "mine:1"}


def test_the_operator_of_another_release_changes_no_pod_that_is_there(served, start_operator):
    workloads = ["fastchat-gateway", *(f"{each}-worker" for each in MODELS)]
    before = [served.get("deployments", each)["spec"] for each in workloads]
    start_operator(namespaces=[served.name], release=SECOND)
    served.apply(model("new"))
    eventually(lambda: "new-worker" in served.names("deployments") and served.reason("new"))
    served.patch("modeldeployments", "a", {"spec": {"replicas": 3}})
    eventually(lambda: served.get("deployments", "a-worker")["spec"]["replicas"] == 3)
    before[1]["replicas"] = 3
    assert [served.get("deployments", each)["spec"] for each in workloads] == before
    assert image(served, "new-worker") == "worker:2"
    served.patch("modeldeployments", "a", {"metadata": {"annotations": {"fastchat.io/roll": "1"}}})
    eventually(lambda: image(served, "a-worker") == "worker:2")


def test_where_a_value_replaces_pods_models_follow_each_other_as_they_become_ready(served, start_operator):
    start_operator(namespaces=[served.name], release=FIRST, images={"worker": "mine:1", "vllm": "mine:1"})
    (first,) = eventually(lambda: renewed(served))
    waiting = next(each for each in MODELS if each != first)
    served.patch("modeldeployments", waiting, {"spec": {"replicas": 4}})
    eventually(lambda: served.get("deployments", f"{waiting}-worker")["spec"]["replicas"] == 4)
    assert renewed(served) == {first}
    report_ready(served, first)
    eventually(lambda: len(renewed(served)) == 2)
    (second,) = renewed(served) - {first}
    served.patch("modeldeployments", (set(MODELS) - renewed(served)).pop(), {"spec": {"priorityClassName": "high"}})
    eventually(lambda: len(renewed(served)) == 3)  # its own change waits for nobody
    report_ready(served, second)
