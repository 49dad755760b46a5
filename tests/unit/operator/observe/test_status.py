"""From what is observed to the status."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_operator.observe.cause import Cause
from fastchat_operator.observe.status import Observed, status_of
from fastchat_operator.plan.workloads import progress

EARLY, LATE = datetime(2026, 11, 23, 5, tzinfo=UTC), datetime(2026, 11, 23, 6, tzinfo=UTC)
COUNTS = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}


def told(deployment, now=EARLY, **observed):
    return status_of(Observed(deployment, **observed), lambda: now)


def condition(status, kind):
    return next(each for each in status.conditions if each.type == kind)


def states(status):
    return {each.type: (each.status, each.reason) for each in status.conditions}


@pytest.fixture
def running(workload):
    """What a Deployment with this status says of its pods."""
    return lambda *args, **status: progress(workload(*args, **status))


@pytest.fixture
def healthy(running):
    return {"workers": running("vicuna", **COUNTS), "gateway": running(availableReplicas=2)}


def refusal(message):
    return [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]


def test_all_is_well(model, healthy):
    status = told(model(replicas=2), **healthy)
    assert states(status) == {
        "Ready": ("True", "Ready"),
        "Progressing": ("False", "Complete"),
        "GatewayReady": ("True", "Ready"),
    }
    assert (status.replicas, status.ready_replicas, status.ready) == (2, 2, "2/2")
    assert status.url == "http://fastchat-gateway.team.svc/v1"
    assert status.observed_generation == 1
    assert status.selector == "app.kubernetes.io/component=worker,fastchat.io/model-deployment=vicuna"


def test_nothing_is_there_yet(model):
    status = told(model())
    assert states(status) == {
        "Ready": ("False", "Starting"),
        "Progressing": ("True", "Updating"),
        "GatewayReady": ("False", "Starting"),
    }
    assert status.ready == "0/1"


def test_one_of_two_is_ready_and_the_other_has_a_cause(model, running, healthy, pod):
    reason = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    workers = running("vicuna", replicas=2, updatedReplicas=2, readyReplicas=1)
    status = told(model(replicas=2), **healthy | {"workers": workers}, pods=[pod(conditions=[reason])])
    assert states(status)["Ready"] == ("True", "Unschedulable")
    assert condition(status, "Ready").message == "1 of 2 workers ready: no GPU"
    assert states(status)["Progressing"] == ("False", "Unschedulable")
    assert status.ready == "1/2"


def test_a_model_that_sleeps_is_not_ready_and_not_in_trouble(model, healthy, running):
    status = told(model(replicas=0), **healthy | {"workers": running("vicuna")})
    assert states(status)["Ready"] == ("False", "ScaledToZero")
    assert states(status)["Progressing"] == ("False", "Complete")
    assert status.ready == "0/0"


SCALED = {"autoscaling": {"minReplicas": 0, "maxReplicas": 8}}


def test_a_model_that_sleeps_until_somebody_asks_says_so(model, healthy, running):
    status = told(model(replicas=0, **SCALED), **healthy | {"workers": running("vicuna")})
    assert condition(status, "Ready").message == "no worker runs: nobody asks; the first request starts one"
    assert condition(told(model(replicas=0)), "Ready").message == "no worker runs: spec.replicas is 0"


def test_what_the_autoscaler_says_is_told_and_stays_until_it_says_something_else(model, healthy, resource):
    cause = Cause("GatewayUnknown", "no worker is stopped: no gateway pod runs")
    first = told(model(**SCALED), **healthy, scaling=cause)
    assert states(first)["Autoscaling"] == ("False", "GatewayUnknown")
    assert condition(first, "Autoscaling").message == "no worker is stopped: no gateway pod runs"
    known = ModelDeployment.parse(resource(**SCALED) | {"status": first.model_dump(mode="json", exclude_none=True)})
    assert told(known, LATE, **healthy) == first
    following = told(known, LATE, **healthy, scaling=Cause("Following", "as many as needed", trouble=False))
    assert states(following)["Autoscaling"] == ("True", "Following")


def test_of_a_model_whose_name_is_taken_no_scaling_is_told(model, healthy):
    told_of = told(model(**SCALED), **healthy, name_conflicts=[("vicuna", "older")], scaling=Cause("Following", ""))
    assert "Autoscaling" not in states(told_of)


def test_without_autoscaling_nothing_is_said_of_it(model, healthy):
    assert "Autoscaling" not in states(told(model(), **healthy, scaling=Cause("Following", "")))


def test_ready_workers_without_a_gateway_serve_nobody_and_the_gateways_cause_is_told(model, healthy, running, pod):
    gone = {"gateway": running(), "gateway_pods": [pod(phase="Failed", reason="Evicted", message="disk full")]}
    status = told(model(replicas=2), **healthy | gone)
    assert states(status)["Ready"] == ("False", "GatewayNotReady")
    assert "disk full" in condition(status, "Ready").message
    assert states(status)["GatewayReady"] == ("False", "Evicted")


def test_while_workers_are_replaced_the_model_is_ready_and_progressing(model, healthy, running):
    workers = running("vicuna", replicas=3, updatedReplicas=1, readyReplicas=2)
    status = told(model(replicas=2), **healthy | {"workers": workers})
    assert states(status)["Ready"] == ("True", "Ready")
    assert states(status)["Progressing"] == ("True", "Updating")


def test_counts_of_another_generation_do_not_say_complete(model, healthy):
    workers = replace(healthy["workers"], observed=False)
    assert states(told(model(replicas=2), **healthy | {"workers": workers}))["Progressing"] == ("True", "Updating")


def test_pods_that_are_refused_are_told_in_the_words_of_who_refused_them(model, healthy, running):
    message = 'pods "x" is forbidden: exceeded quota: gpus'
    failed = {"workers": running("vicuna", conditions=refusal(message))}
    status = told(model(), **healthy | failed)
    assert states(status)["Ready"] == ("False", "PodRefused")
    assert condition(status, "Ready").message == message
    gateway = told(model(), workers=healthy["workers"], gateway=running(conditions=refusal(message)))
    assert condition(gateway, "GatewayReady").message == message


def test_an_object_that_the_api_server_refused_is_told_in_its_words(model, healthy):
    status = told(
        model(),
        **healthy,
        trouble=Cause("ApplyFailed", "spec.affinity: Invalid value"),
        gateway_trouble=Cause("ApplyFailed", "exists already"),
    )
    assert states(status)["Ready"] == ("True", "ApplyFailed")
    assert condition(status, "Ready").message == "spec.affinity: Invalid value"
    assert states(status)["Progressing"] == ("False", "ApplyFailed")
    assert states(status)["GatewayReady"] == ("True", "ApplyFailed")
    assert condition(status, "GatewayReady").message == "exists already"


def test_a_model_whose_own_name_is_taken_is_not_served(model, healthy):
    status = told(model(), **healthy, name_conflicts=[("vicuna", "older")])
    assert states(status)["Ready"] == ("False", "NameTaken")
    assert "'vicuna' is served by the older ModelDeployment 'older'" in condition(status, "Ready").message


def test_a_model_whose_alias_is_taken_is_served_under_its_other_names(model, healthy):
    status = told(model(model={"aliases": ["gpt"]}), **healthy, name_conflicts=[("gpt", "older")])
    assert states(status)["Ready"] == ("True", "NameTaken")


def test_times_are_kept_while_a_condition_holds_and_change_with_it(model, healthy, resource):
    first = told(model(replicas=2))
    known = ModelDeployment.parse(resource(replicas=2) | {"status": first.model_dump(mode="json", exclude_none=True)})
    later = told(known, LATE, **healthy)
    assert condition(first, "Ready").last_transition_time == EARLY
    assert condition(later, "Ready").last_transition_time == LATE
    again = told(known, LATE)
    assert [each.last_transition_time for each in again.conditions] == [EARLY] * 3
    assert again == first


def test_another_reason_for_the_same_state_is_no_transition(model, pod, resource):
    first = told(model())
    known = ModelDeployment.parse(resource() | {"status": first.model_dump(mode="json", exclude_none=True)})
    later = told(known, LATE, pods=[pod(phase="Failed", reason="Evicted", message="disk full")])
    assert states(later)["Ready"] == ("False", "Evicted")
    assert condition(later, "Ready").last_transition_time == EARLY


@pytest.mark.parametrize(
    ("said", "reason"), [("OutOfnvidia.com/gpu", "OutOfnvidiacomgpu"), ("4-x", "x"), ("", "Unknown")]
)
def test_whatever_reason_a_pod_gives_the_api_server_takes_it(model, pod, said, reason):
    conditions = [{"type": "PodScheduled", "status": "False", "reason": said}]
    assert states(told(model(), pods=[pod(conditions=conditions)]))["Ready"] == ("False", reason)


def test_the_longest_complaint_fits_into_the_status(model):
    assert len(condition(told(model(), trouble=Cause("ApplyFailed", "x" * 100_000)), "Ready").message) == 32768
