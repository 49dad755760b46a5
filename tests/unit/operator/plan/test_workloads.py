"""What a workload says of its pods, and what is written to it."""

import pytest

from fastchat_operator.kube import kind
from fastchat_operator.plan.workloads import DEPLOYMENTS, WORKLOADS, progress
from fastchat_operator.plan.workloads.workload import NO_PODS, Progress

NOW = 1_800_000_000.7
RETRIED = "fastchat.io/asked-to-retry"


def conditions(**progressing):
    return [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"} | progressing]


def test_every_kind_that_the_store_looks_for_is_understood():
    assert set(WORKLOADS) == set(kind.WORKLOADS)


def test_of_a_workload_that_is_not_there_no_pod_runs():
    assert progress(None) == NO_PODS


def test_a_deployment_whose_pods_are_all_new_and_ready_says_so(workload):
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    assert progress(workload("vicuna", **counts, conditions=conditions())) == Progress(
        wanted=1, current=1, updated=1, ready=1, available=1, observed=True
    )


@pytest.mark.parametrize(
    ("status", "replacing", "stuck"),
    [
        ({"conditions": conditions()}, False, False),
        ({"conditions": conditions(reason="ReplicaSetUpdated")}, True, False),
        ({"conditions": conditions(status="False", reason="ProgressDeadlineExceeded")}, True, True),
        ({"conditions": conditions(status="Unknown", reason="DeploymentPaused")}, True, True),
        ({"conditions": conditions(), "observedGeneration": 0}, True, False),
        ({}, True, False),
    ],
    ids=["done", "under way", "too long", "paused", "not looked at yet", "new"],
)
def test_what_a_deployments_controller_says_of_a_rollout(workload, status, replacing, stuck):
    said = progress(workload("vicuna", **status))
    assert (said.replacing, said.stuck) == (replacing, stuck)


def test_where_no_pods_are_wanted_none_are_replaced(workload):
    there = workload("vicuna") | {"spec": {"replicas": 0}}
    assert not progress(there).replacing


def test_counts_of_another_generation_are_about_the_past(workload):
    there = workload("vicuna", replicas=1)
    there["metadata"]["generation"] = 2
    assert progress(there) == Progress(wanted=1, current=1, observed=False, replacing=True)


def refused(status="True"):
    return [{"type": "ReplicaFailure", "status": status, "message": "exceeded quota"}]


def test_pods_that_were_refused_are_told_in_the_words_of_who_refused_them(workload):
    assert progress(workload("vicuna", conditions=refused())).refused == "exceeded quota"
    assert progress(workload("vicuna", conditions=refused("False"))).refused is None


def test_a_deployment_is_asked_to_retry_its_pods_and_stays_the_same_otherwise(workload):
    body = DEPLOYMENTS.retry(workload("vicuna"), NOW)
    assert body == {"metadata": {"uid": "uid-vicuna-worker", "annotations": {RETRIED: "1800000000"}}}


@pytest.mark.parametrize(
    ("asked", "again"),
    [("1799999999", False), ("1799999951", False), ("1799999950", True), ("1800000001", True), ("soon", True)],
    ids=["a second ago", "49 s ago", "50 s ago", "by a clock that is ahead", "not a time"],
)
def test_it_is_asked_to_retry_once_a_minute(workload, asked, again):
    there = workload("vicuna")
    there["metadata"]["annotations"] = {RETRIED: asked}
    assert (DEPLOYMENTS.retry(there, NOW) is not None) == again
