"""Root causes, read off pod statuses as kubelet, scheduler and node controller write them."""

from typing import Any

import pytest

from fastchat_operator.observe.cause import Cause, pod_cause, root_cause

SCHEDULED = {"type": "PodScheduled", "status": "True"}
NOT_READY = {
    "type": "Ready",
    "status": "False",
    "reason": "ContainersNotReady",
    "lastTransitionTime": "2026-11-23T05:10:00Z",
}


def unscheduled(message: str, reason: str = "Unschedulable") -> dict[str, Any]:
    return {"phase": "Pending", "conditions": [SCHEDULED | {"status": "False", "reason": reason, "message": message}]}


def worker(started: bool = False, ready: bool = False, restarts: int = 0, last: Any = None, **state: Any) -> Any:
    """The status of a pod by that of its container: `waiting`, `running` or `terminated`."""
    container = {"name": "worker", "image": "registry/vicuna:1", "ready": ready, "started": started}
    container |= {"restartCount": restarts, "state": state, "lastState": {"terminated": last} if last else {}}
    return {"phase": "Running", "conditions": [SCHEDULED, NOT_READY], "containerStatuses": [container]}


def waiting(reason: str, message: str = "", **rest: Any) -> Any:
    return worker(waiting={"reason": reason} | ({"message": message} if message else {}), **rest)


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"exitCode": code, "reason": reason, "message": message}


READY = worker(ready=True, started=True, running={}) | {"conditions": [{"type": "Ready", "status": "True"}]}
LOADING = worker(running={"startedAt": "2026-11-23T05:00:09Z"})
NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."
NOT_FOUND = (
    'failed to pull and unpack image "registry/vicuna:1": failed to resolve reference "registry/vicuna:1": not found'
)
TRACEBACK = (
    "Traceback (most recent call last):\n  File x\nfastchat_worker: no model in /model: give spec.model.source\n"
)

CAUSES = {
    "not looked at": ({"phase": "Pending"}, "Scheduling", "the scheduler has not looked at the pod yet"),
    "no node": (unscheduled(NO_GPU), "Unschedulable", NO_GPU),
    "gated": (unscheduled("waiting for quota", "SchedulingGated"), "SchedulingGated", "waiting for quota"),
    "scheduled": ({"phase": "Pending", "conditions": [SCHEDULED]}, "Starting", "the pod is being started"),
    "creating": (waiting("ContainerCreating"), "Starting", "the container is being created"),
    "another container first": (waiting("PodInitializing"), "Starting", "the container is being created"),
    "pulling fails": (waiting("ErrImagePull", NOT_FOUND), "ImagePullFailed", f"image registry/vicuna:1: {NOT_FOUND}"),
    "pulling waits": (
        waiting("ImagePullBackOff", f'Back-off pulling image "registry/vicuna:1": ErrImagePull: {NOT_FOUND}'),
        *("ImagePullFailed", f"image registry/vicuna:1: {NOT_FOUND}"),
    ),
    "pulling waits, old kubelet": (
        waiting("ImagePullBackOff", 'Back-off pulling image "registry/vicuna:1"'),
        *("ImagePullFailed", "image registry/vicuna:1: the kubelet waits before it tries again"),
    ),
    "registry down": (
        waiting("ImagePullBackOff", 'Back-off pulling image "x": RegistryUnavailable: image pull failed for x'),
        *("ImagePullFailed", "image registry/vicuna:1: image pull failed for x"),
    ),
    "impossible image": (
        waiting("InvalidImageName", 'Failed to apply default image tag "A B": invalid reference format'),
        *(
            "ImagePullFailed",
            'image registry/vicuna:1: Failed to apply default image tag "A B": invalid reference format',
        ),
    ),
    "never pulled": (
        waiting("ErrImageNeverPull", 'Container image "x" is not present with pull policy of Never'),
        *("ImagePullFailed", 'image registry/vicuna:1: Container image "x" is not present with pull policy of Never'),
    ),
    "no secret": (
        waiting("CreateContainerConfigError", 'secret "hf-token" not found'),
        *("ContainerCreateFailed", 'secret "hf-token" not found'),
    ),
    "root": (
        waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root (pod: x)"),
        *("ContainerCreateFailed", "container has runAsNonRoot and image will run as root (pod: x)"),
    ),
    "no such command": (
        waiting(
            "RunContainerError", 'failed to create containerd task: exec: "vllm": executable file not found in $PATH'
        ),
        *(
            "ContainerCreateFailed",
            'failed to create containerd task: exec: "vllm": executable file not found in $PATH',
        ),
    ),
    "no such command, later": (
        waiting("CrashLoopBackOff", "back-off 10s restarting", last=ended(128, "StartError", "executable not found")),
        *("ContainerCreateFailed", "executable not found"),
    ),
    "loading": (LOADING, "Loading", "the model is being loaded"),
    "load failed": (
        worker(terminated=ended(1, message=TRACEBACK)),
        *("ModelLoadFailed", "fastchat_worker: no model in /model: give spec.model.source"),
    ),
    "load failed, waits": (
        waiting("CrashLoopBackOff", "back-off 5m0s restarting", restarts=6, last=ended(1, message=TRACEBACK)),
        *("ModelLoadFailed", "fastchat_worker: no model in /model: give spec.model.source (restarted 6 times)"),
    ),
    "load failed, tries again": (
        worker(running={}, restarts=1, last=ended(1, message=TRACEBACK)),
        *("ModelLoadFailed", "fastchat_worker: no model in /model: give spec.model.source"),
    ),
    "load failed without a word": (
        worker(terminated=ended(3)),
        *("ModelLoadFailed", "worker ended with exit code 3"),
    ),
    "out of memory": (
        worker(running={}, restarts=3, last=ended(137, "OOMKilled", "loading…")),
        *("OutOfMemory", "it needed more memory than resources.limits.memory allows (restarted 3 times)"),
    ),
    "killed": (
        waiting("CrashLoopBackOff", last=ended(137)),
        *("Killed", "it did not answer its probes, or its node was out of memory"),
    ),
    "told to end": (
        waiting("CrashLoopBackOff", last=ended(143, message="INFO bye\n")),
        *("Killed", "it did not answer its probes, or its node was out of memory; it said last: INFO bye"),
    ),
    "ended well": (
        waiting("CrashLoopBackOff", restarts=2, last=ended(0, "Completed")),
        "Exited",
        "it ended with exit code 0: by itself, or because it did not answer its probes (restarted 2 times)",
    ),
    "its node was restarted": (
        worker(running={}, restarts=1, last=ended(255, "Unknown")),
        *("Loading", "the model is being loaded"),
    ),
    "loaded a moment ago": (
        worker(running={"startedAt": "2026-11-23T05:10:03Z"}, started=True),
        *("Loading", "the model is being loaded"),
    ),
    "not ready any more": (
        worker(
            running={"startedAt": "2026-11-23T05:00:09Z"}, started=True, restarts=1, last=ended(1, message=TRACEBACK)
        ),
        *("NotReady", "it was ready before and does not say so any more: it is overloaded or stuck"),
    ),
    "node lost": (
        worker(running={}, started=True, ready=True),
        *("NodeNotReady", "node node-1 does not report any more: whether the pod still runs is not known"),
    ),
    "evicted": (
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."},
        *("Evicted", "The node was low on resource: ephemeral-storage."),
    ),
    "refused by the kubelet": (
        {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "Allocate failed"},
        *("UnexpectedAdmissionError", "Allocate failed"),
    ),
}


@pytest.mark.parametrize(("status", "reason", "message"), CAUSES.values(), ids=CAUSES)
def test_a_pod_that_is_not_ready_has_a_cause(pod, status, reason, message):
    cause = pod_cause(pod(**status))
    assert (cause.reason, cause.message) == (reason, message)


def test_what_only_takes_time_needs_nobody(pod):
    calm = {reason for status, reason, _ in CAUSES.values() if not pod_cause(pod(**status)).trouble}
    assert calm == {"Scheduling", "Starting", "Loading"}


def test_a_failed_pull_reads_the_same_at_every_try(pod):
    tries = [pod_cause(pod(**CAUSES[each][0])) for each in ("pulling fails", "pulling waits")]
    assert tries[0] == tries[1]


def test_a_ready_pod_and_one_that_goes_have_none(pod):
    going = pod(**unscheduled(NO_GPU))
    going["metadata"]["deletionTimestamp"] = "2026-11-23T05:00:00Z"
    assert pod_cause(pod(**READY)) is None
    assert pod_cause(going) is None


def test_a_preempted_pod_is_gone_and_its_successor_has_the_schedulers_words(pod):
    preempted = pod(
        "old", conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
    )
    preempted["metadata"]["deletionTimestamp"] = "2026-11-23T05:00:00Z"
    assert root_cause([preempted, pod("new", **unscheduled(NO_GPU))]) == Cause("Unschedulable", NO_GPU)


def test_a_container_that_a_mesh_put_beside_the_worker_does_not_hide_it(pod):
    status = worker(terminated=ended(1, message="no model"))
    status["containerStatuses"].insert(
        0, {"name": "istio-proxy", "image": "i", "ready": False, "state": {"running": {}}}
    )
    assert pod_cause(pod(**status)) == Cause("ModelLoadFailed", "no model")


def test_a_container_beside_the_worker_has_no_model_to_load(pod):
    status = worker(ready=True, running={})
    status["containerStatuses"].append(
        {"name": "mesh", "image": "i", "ready": False, "state": {"terminated": ended(1, message="no route")}}
    )
    assert pod_cause(pod(**status)) == Cause("ContainerFailed", "no route")


def test_a_long_message_is_cut(pod):
    cause = pod_cause(pod(**waiting("CreateContainerError", "x" * 5000)))
    assert len(cause.message) == 1000


# --- of several pods


def test_all_ready_pods_have_no_cause(pod):
    assert root_cause([pod("a", **READY), pod("b", **READY)]) is None
    assert root_cause([]) is None


def test_trouble_of_one_pod_comes_before_the_loading_of_another(pod):
    pods = [pod("a", born="2026-11-23T06:00:00Z", **LOADING), pod("b", **unscheduled(NO_GPU))]
    assert root_cause(pods).reason == "Unschedulable"


def test_what_is_nearest_to_ready_is_told_of_several_that_only_take_time(pod):
    pods = [pod("a", phase="Pending"), pod("b", **waiting("ContainerCreating")), pod("c", **LOADING)]
    assert root_cause(pods).reason == "Loading"


def test_of_two_troubles_that_of_the_newest_pod_is_told_in_whatever_order_they_come(pod):
    old = pod("a", born="2026-11-23T05:00:00Z", **unscheduled(NO_GPU))
    new = pod("b", born="2026-11-23T06:00:00Z", **worker(terminated=ended(1, message="no model")))
    assert root_cause([old, new]) == root_cause([new, old]) == Cause("ModelLoadFailed", "no model")


def evicted(pod, born):
    return pod(f"evicted-{born}", born=f"2026-11-23T0{born}:00:00Z", **CAUSES["evicted"][0])


def test_pods_that_are_evicted_again_and_again_are_the_cause_while_the_next_one_loads(pod):
    pods = [evicted(pod, 3), evicted(pod, 4), pod("next", born="2026-11-23T05:00:00Z", **LOADING)]
    assert root_cause(pods).reason == "Evicted"


def test_an_evicted_pod_is_history_once_a_younger_one_was_ready(pod):
    pods = [evicted(pod, 3), pod("next", born="2026-11-23T04:00:00Z", **READY)]
    assert root_cause(pods) is None
    assert root_cause([*pods, pod("third", born="2026-11-23T05:00:00Z", **LOADING)]).reason == "Loading"


def test_the_trouble_of_a_living_pod_comes_before_that_of_an_evicted_one(pod):
    pods = [evicted(pod, 5), pod("living", born="2026-11-23T04:00:00Z", **unscheduled(NO_GPU))]
    assert root_cause(pods).reason == "Unschedulable"
