"""What `kubectl get md` shows of pods in every kind of trouble; the test is kubelet, scheduler and controllers."""

import pytest
from integration.operator.team import model
from support.eventually import eventually

GATEWAY = "fastchat-gateway"
SCHEDULED = {"type": "PodScheduled", "status": "True"}
NOT_READY = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-23T05:10:00Z"}


def unscheduled(reason, message):
    return {"phase": "Pending", "conditions": [SCHEDULED | {"status": "False", "reason": reason, "message": message}]}


def container(state, name="worker", started=False, ready=False, restarts=0, last=None):
    about = {"name": name, "image": "vicuna:1", "imageID": "", "ready": ready, "started": started}
    about |= {"restartCount": restarts, "state": state} | ({"lastState": {"terminated": last}} if last else {})
    return {"phase": "Running", "conditions": [SCHEDULED, NOT_READY], "containerStatuses": [about]}


def waiting(reason, message="", **rest):
    return container({"waiting": {"reason": reason, "message": message}}, **rest)


def ended(code, reason="Error", message=""):
    return {"exitCode": code, "reason": reason, "message": message}


RUNNING = {"running": {"startedAt": "2026-11-23T05:00:00Z"}}
NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
NO_IMAGE = 'failed to resolve reference "vicuna:1": not found'
NO_MODEL = "fastchat_worker: /model holds no model: give the folder with config.json in spec.model.source"

# Name of the model: status of its pod, then READY, REASON and what Ready's message says.
TROUBLE = {
    "unseen": ({"phase": "Pending"}, "Scheduling", "the scheduler has not looked at the pod yet"),
    "no-gpu": (unscheduled("Unschedulable", NO_GPU), "Unschedulable", NO_GPU),
    "no-image": (waiting("ErrImagePull", NO_IMAGE), "ImagePullFailed", NO_IMAGE),
    "bad-image": (
        waiting("InvalidImageName", "invalid reference format"),
        "ImagePullFailed",
        "invalid reference format",
    ),
    "no-secret": (
        waiting("CreateContainerConfigError", 'secret "hf-token" not found'),
        *("ContainerCreateFailed", 'secret "hf-token" not found'),
    ),
    "root": (
        waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        *("ContainerCreateFailed", "image will run as root"),
    ),
    "memory": (
        waiting("CrashLoopBackOff", restarts=4, last=ended(137, "OOMKilled")),
        *("OutOfMemory", "resources.limits.memory allows (restarted 4 times)"),
    ),
    "no-model": (container({"terminated": ended(1, message=f"Traceback\n{NO_MODEL}\n")}), "ModelLoadFailed", NO_MODEL),
    "no-model-waits": (
        waiting("CrashLoopBackOff", restarts=1, last=ended(1, message=NO_MODEL)),
        "ModelLoadFailed",
        NO_MODEL,
    ),
    "no-model-again": (container(RUNNING, restarts=1, last=ended(1, message=NO_MODEL)), "ModelLoadFailed", NO_MODEL),
    "killed": (waiting("CrashLoopBackOff", last=ended(137)), "Killed", "it did not answer its probes"),
    "loading": (container(RUNNING), "Loading", "the model is being loaded"),
    "stuck": (container(RUNNING, started=True), "NotReady", "it was ready before"),
    "node-lost": (container(RUNNING, started=True, ready=True), "NodeNotReady", "does not report any more"),
    "evicted": (
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
        *("Evicted", "The node was low on resource: memory."),
    ),
}


@pytest.fixture(scope="module")
def team(make_namespace, operator):
    """A namespace in which the gateway answers and every kind of trouble has a model."""
    team = make_namespace()
    team.apply(
        *map(model, TROUBLE), model("fine"), model("asleep", replicas=0), model("half", replicas=2), model("quota")
    )
    eventually(lambda: len(team.names("deployments")) == len(TROUBLE) + 5)
    team.count(GATEWAY, replicas=2, updatedReplicas=2, readyReplicas=2, availableReplicas=2)
    for name, (status, *_) in TROUBLE.items():
        team.pod(name, **status)
        team.count(f"{name}-worker", replicas=1, updatedReplicas=1)
    team.count("fine-worker", replicas=1, updatedReplicas=1, readyReplicas=1, availableReplicas=1)
    team.count("half-worker", replicas=2, updatedReplicas=2, readyReplicas=1, availableReplicas=1)
    team.pod("half", **TROUBLE["no-gpu"][0])
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: gpus"}
    team.patch("deployments", "quota-worker/status", {"status": {"conditions": [failure]}})
    return team


@pytest.fixture(scope="module")
def shown(team, api_server):
    """Model: READY and REASON, as kubectl shows them."""

    def table():
        head, *lines = api_server.kubectl("get", f"--namespace={team.name}", "md").splitlines()
        ready, reason, progress = (head.index(title) for title in ("READY", "REASON", "PROGRESS"))
        return {line.split()[0]: (line[ready:reason].strip(), line[reason:progress].strip()) for line in lines}

    expected = {name: reason for name, (_, reason, _) in TROUBLE.items()}
    expected |= {"fine": "Ready", "asleep": "ScaledToZero", "half": "Unschedulable", "quota": "PodRefused"}
    eventually(lambda: {name: team.reason(name) for name in expected} == expected)
    return table()


@pytest.mark.parametrize(("name", "reason", "message"), [(name, *told) for name, (_, *told) in TROUBLE.items()])
def test_a_models_reason_is_its_pods_root_cause(team, shown, name, reason, message):
    assert shown[name] == ("0/1", reason)
    status, _, text = team.condition(name)
    assert status == "False"
    assert message in text


def test_a_model_with_a_ready_worker_and_a_gateway_is_ready(team, shown):
    assert shown["fine"] == ("1/1", "Ready")
    assert team.condition("fine")[0] == team.condition("fine", "GatewayReady")[0] == "True"
    assert team.condition("fine", "Progressing")[:2] == ("False", "Complete")


def test_a_model_without_workers_sleeps(shown):
    assert shown["asleep"] == ("0/0", "ScaledToZero")


def test_a_model_that_lacks_a_worker_is_ready_and_says_what_the_other_waits_for(team, shown):
    assert shown["half"] == ("1/2", "Unschedulable")
    assert team.condition("half") == ("True", "Unschedulable", f"1 of 2 workers ready: {NO_GPU}")


def test_a_quota_is_told_in_its_own_words(team, shown):
    assert shown["quota"] == ("0/1", "PodRefused")
    assert team.condition("quota")[2] == "exceeded quota: gpus"


def test_the_reason_changes_with_the_pod_and_the_event_is_one_of_a_kind(team, admin):
    team.apply(model("changing"))
    eventually(lambda: team.get("deployments", "changing-worker"))
    pod = team.pod("changing", **TROUBLE["no-image"][0])
    eventually(lambda: team.reason("changing") == "ImagePullFailed")
    for status in (
        waiting("ImagePullBackOff", f'Back-off pulling image "vicuna:1": ErrImagePull: {NO_IMAGE}'),
        TROUBLE["no-image"][0],
    ):
        team.patch("pods", f"{pod}/status", {"status": status})
    team.patch("pods", f"{pod}/status", {"status": container(RUNNING)})
    eventually(lambda: team.reason("changing") == "Loading")
    events = admin.call("GET", team.path("events"))["items"]
    mine = [each["reason"] for each in events if each["involvedObject"]["name"] == "changing"]
    assert mine.count("ImagePullFailed") == 1


def test_what_keeps_a_gateway_from_starting_is_told_by_every_model(make_namespace, operator):
    team = make_namespace()
    team.apply(model("a"), model("b"))
    eventually(lambda: team.names("deployments") == {"a-worker", "b-worker", GATEWAY})
    team.count("a-worker", replicas=1, updatedReplicas=1, readyReplicas=1)
    template = team.get("deployments", GATEWAY)["spec"]["template"]
    metadata = template["metadata"] | {"name": "gateway-pod"}
    team.create("pods", {"metadata": metadata, "spec": template["spec"]})
    status = container({"waiting": {"reason": "ErrImagePull", "message": NO_IMAGE}}, name="gateway")
    team.patch("pods", "gateway-pod/status", {"status": status})
    eventually(lambda: {team.reason(name, "GatewayReady") for name in "ab"} == {"ImagePullFailed"})
    eventually(lambda: team.reason("a") == "GatewayNotReady")
    assert NO_IMAGE in team.condition("a")[2]
