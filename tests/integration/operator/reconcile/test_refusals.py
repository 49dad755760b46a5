"""The API server says no: too many requests, a quota, a limit. The status says it, and it goes on when it may."""

import re
import time

import pytest
from integration.operator.team import model
from support.eventually import eventually

FLOWS = "apis/flowcontrol.apiserver.k8s.io/v1"
MODELS = 12
SECONDS = 5


@pytest.fixture
def throttle(admin, make_account, rules):
    """An account, and a switch by which the API server answers whatever it asks with 429 and Retry-After."""
    name = "throttled"
    account = make_account(name, rules)
    nothing = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
    level = {"type": "Limited", "limited": nothing}
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "fastchat-system"}}
    resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    flow = {
        "priorityLevelConfiguration": {"name": name},
        "matchingPrecedence": 2,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [subject], "resourceRules": [resources]}],
    }

    def switch(on):
        if on:
            admin.call("POST", f"{FLOWS}/prioritylevelconfigurations", {"metadata": {"name": name}, "spec": level})
            admin.call("POST", f"{FLOWS}/flowschemas", {"metadata": {"name": name}, "spec": flow})
        else:
            admin.call("DELETE", f"{FLOWS}/flowschemas/{name}")
            admin.call("DELETE", f"{FLOWS}/prioritylevelconfigurations/{name}")

    yield account, switch
    switch(on=False)


def refused(admin):
    """Requests that the API server has refused so far."""
    text = admin.attempt("GET", "metrics").text
    series = re.findall(r'apiserver_flowcontrol_rejected_requests_total\{flow_schema="throttled".*\} (\d+)', text)
    return sum(map(int, series))


def test_an_api_server_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_asks(
    throttle, admin, start_operator, team
):
    account, switch = throttle
    operator = start_operator(account, namespaces=[team.name])
    eventually(lambda: operator.says("everything is known"))
    team.apply(model("watched"))
    eventually(lambda: team.reason("watched") and team.names("poddisruptionbudgets"))
    switch(on=True)
    team.apply(*(model(f"m{number}") for number in range(MODELS)))
    eventually(lambda: refused(admin))
    time.sleep(1)  # until what was under way has its answers
    before = refused(admin)
    time.sleep(SECONDS)
    assert refused(admin) - before <= 2 * SECONDS
    assert operator.alive
    switch(on=False)
    eventually(lambda: all(team.reason(f"m{number}") for number in range(MODELS)))


def quota(team, hard):
    """A quota as its controller keeps it: nothing of it is used yet."""
    name = team.create("resourcequotas", {"metadata": {"name": "tight"}, "spec": {"hard": hard}})["metadata"]["name"]
    team.patch("resourcequotas", f"{name}/status", {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})


def test_a_quota_on_objects_is_told_and_they_are_made_when_it_is_gone(operator, team):
    quota(team, {"count/deployments.apps": "0"})
    team.apply(model("a"))
    eventually(lambda: team.reason("a") == "ApplyFailed")
    assert "exceeded quota: tight, requested: count/deployments.apps=1" in team.condition("a")[2]
    team.delete("resourcequotas", "tight")
    eventually(lambda: team.get("deployments", "a-worker") and team.reason("a") == "Starting")


def gpu_quota(team):
    quota(team, {"requests.nvidia.com/gpu": "1"})
    return "resourcequotas", "exceeded quota: tight, requested: requests.nvidia.com/gpu=2"


def cpu_limit(team):
    limits = [{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]
    team.create("limitranges", {"metadata": {"name": "tight"}, "spec": {"limits": limits}})
    return "limitranges", "maximum cpu usage per Container is 1, but limit is 2"


@pytest.mark.parametrize("obstacle", [gpu_quota, cpu_limit], ids=["ResourceQuota", "LimitRange"])
def test_what_refuses_pods_is_told_in_its_words_and_the_replica_set_is_asked_to_try_again(
    operator, admin, team, obstacle
):
    """The ReplicaSet's controller, which this test is, waits up to 17 minutes between two tries."""
    plural, words = obstacle(team)
    team.apply(model("a", gpus=2, resources={"limits": {"cpu": "2"}}))
    deployment = eventually(lambda: team.get("deployments", "a-worker"))
    template = deployment["spec"]["template"]
    pod = {"metadata": template["metadata"] | {"generateName": "a-worker-"}, "spec": template["spec"]}
    answer = admin.attempt("POST", team.path("pods"), pod)
    assert answer.status_code == 403
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": answer.json()["message"],
    }
    team.patch("deployments", "a-worker/status", {"status": {"conditions": [failure]}})
    eventually(lambda: team.reason("a") == "PodRefused")
    assert words in team.condition("a")[2]
    eventually(lambda: "fastchat.io/asked-to-retry" in team.get("deployments", "a-worker")["metadata"]["annotations"])
    team.delete(plural, "tight")
    assert admin.attempt("POST", team.path("pods"), pod).is_success
    team.patch("deployments", "a-worker/status", {"status": {"conditions": None}})
    eventually(lambda: team.reason("a") == "Scheduling")
    assert team.get("deployments", "a-worker")["spec"] == deployment["spec"]
