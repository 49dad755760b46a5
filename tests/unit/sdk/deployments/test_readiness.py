"""When a ModelDeployment is ready, and when waiting for it is of no use."""

import pytest

from fastchat import errors
from fastchat.deployments.readiness import Waiting, is_ready, trouble
from fastchat.v1alpha1.deployment import ModelDeployment

TIME = "2026-11-23T04:00:00Z"


def deployment(ready=("False", "Loading"), progressing=("True", "Updating"), gateway=("True", "Ready"), seen=1, **spec):
    """As the operator tells it: (status, reason) by condition."""
    kinds = {"Ready": ready, "Progressing": progressing, "GatewayReady": gateway}
    conditions = [
        {"type": kind, "status": status, "reason": reason, "message": f"about {reason}", "lastTransitionTime": TIME}
        for kind, (status, reason) in kinds.items()
    ]
    return ModelDeployment.parse({
        "apiVersion": "fastchat.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "vicuna", "generation": 1},
        "spec": {"model": {"source": "hf://org/name"}, **spec},
        "status": {"observedGeneration": seen, "conditions": conditions},
    })  # fmt: skip


DONE = ("False", "Complete")
SLEEPS = {"autoscaling": {"minReplicas": 0, "maxReplicas": 1}, "replicas": 0}

READY = {
    "all is well": deployment(("True", "Ready"), DONE),
    "it sleeps": deployment(("False", "ScaledToZero"), DONE, **SLEEPS),
}
STARTING = {
    "it loads": deployment(),
    "more workers are started": deployment(("True", "Loading")),
    "the operator has not seen the last change": deployment(("True", "Ready"), DONE, seen=0),
    "the gateway is being started": deployment(("False", "GatewayNotReady"), DONE, ("False", "Starting")),
}
TROUBLED = {
    "no model": (deployment(("False", "ModelLoadFailed"), ("False", "ModelLoadFailed")), "ModelLoadFailed"),
    "one of two": (deployment(("True", "Unschedulable"), ("False", "Unschedulable")), "Unschedulable"),
    "nobody wants workers": (deployment(("False", "ScaledToZero"), DONE, replicas=0), "ScaledToZero"),
    "no gateway": (deployment(("False", "GatewayNotReady"), DONE, ("False", "ImagePullFailed")), "GatewayNotReady"),
}


@pytest.mark.parametrize("there", READY.values(), ids=READY)
def test_it_is_ready(there):
    assert is_ready(there)
    assert trouble(there) is None


@pytest.mark.parametrize("there", STARTING.values(), ids=STARTING)
def test_it_only_takes_time(there):
    assert not is_ready(there)
    assert trouble(there) is None


@pytest.mark.parametrize(("there", "reason"), TROUBLED.values(), ids=TROUBLED)
def test_a_person_has_to_do_something(there, reason):
    assert not is_ready(there)
    assert trouble(there).reason == reason


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_trouble_has_to_last_before_it_is_believed(clock):
    waiting, (broken, _) = Waiting("vicuna", 600, 10, None, clock), TROUBLED["no model"]
    assert not waiting.see(broken)
    clock.now = 9
    assert not waiting.see(STARTING["it loads"])
    clock.now = 11
    assert not waiting.see(broken)
    clock.now = 21
    with pytest.raises(errors.DeploymentFailedError, match=r"^vicuna cannot get ready: ModelLoadFailed: about Model"):
        waiting.see(broken)


def test_the_time_is_over_once(clock):
    waiting = Waiting("vicuna", 5, 10, None, clock)
    assert not waiting.see(STARTING["it loads"])
    clock.now = 5
    with pytest.raises(errors.DeploymentTimeoutError, match="not ready after 5 s: Loading: about Loading"):
        waiting.see(STARTING["it loads"])


def test_progress_is_told_when_the_status_has_changed(clock):
    seen = []
    waiting = Waiting("vicuna", 5, 10, seen.append, clock)
    for there in (STARTING["it loads"], STARTING["it loads"], READY["all is well"]):
        waiting.see(there)
    assert seen == [STARTING["it loads"], READY["all is well"]]


def test_an_api_server_that_is_away_for_a_while_is_waited_for(clock):
    waiting = Waiting("vicuna", 5, 10, None, clock)
    gone = errors.KubernetesError("not reached")
    with pytest.raises(errors.KubernetesError):
        waiting.missed(gone)
    waiting.see(STARTING["it loads"])
    waiting.missed(gone)
    with pytest.raises(errors.DeploymentNotFoundError):
        waiting.missed(errors.DeploymentNotFoundError("gone", status_code=404))
    clock.now = 5
    with pytest.raises(errors.KubernetesError):
        waiting.missed(gone)


@pytest.mark.parametrize("times", [(0, 1), (-1, 1), (1, -1), (float("nan"), 1)])
def test_times_that_make_no_sense_are_refused(times, clock):
    with pytest.raises(ValueError, match="they are seconds"):
        Waiting("vicuna", *times, None, clock)
