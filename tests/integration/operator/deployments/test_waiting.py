"""`wait_ready` on the word of a real operator; the test is kubelet and controllers."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from integration.operator.team import model
from support.eventually import eventually

from fastchat import errors

READY = [{"type": each, "status": "True"} for each in ("PodScheduled", "Ready")]
LAST_WORDS = "fastchat-worker: the hub has no model org/name"
ENDED = {"exitCode": 1, "reason": "Error", "message": LAST_WORDS}
BROKEN = {"name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
BROKEN |= {"state": {"terminated": ENDED}}


@pytest.fixture
def working(operator, team):
    """A ModelDeployment for which everything is there but its pods' status."""
    team.apply(model("vicuna"))
    eventually(lambda: team.reason("vicuna") and team.get("deployments", "fastchat-gateway"))
    return team


def test_it_ends_once_all_workers_are_ready_and_tells_how_it_came_to_that(working, deployments):
    seen = []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            deployments.wait_ready, "vicuna", timeout=120, progress=lambda each: seen.append(each.ready.reason)
        )
        eventually(lambda: seen)
        working.pod("vicuna", phase="Running", conditions=READY)
        working.count("vicuna-worker", replicas=1, updatedReplicas=1, readyReplicas=1)
        working.count("fastchat-gateway", replicas=2, updatedReplicas=2, readyReplicas=2, availableReplicas=2)
        assert waiting.result(120).status.ready == "1/1"
    assert seen[0] != "Ready" == seen[-1]


def test_what_cannot_work_is_raised_with_its_root_cause(working, deployments):
    working.pod("vicuna", phase="Running", containerStatuses=[BROKEN])
    words = f"vicuna cannot get ready: ModelLoadFailed.*{LAST_WORDS}"
    with pytest.raises(errors.DeploymentFailedError, match=words) as caught:
        deployments.wait_ready("vicuna", timeout=120, patience=0)
    assert caught.value.reason == "ModelLoadFailed"
    assert caught.value.deployment.metadata.name == "vicuna"


def test_trouble_that_passes_is_waited_for(working, deployments):
    working.pod("vicuna", phase="Running", containerStatuses=[BROKEN])
    eventually(lambda: working.reason("vicuna") == "ModelLoadFailed")
    with pytest.raises(errors.DeploymentTimeoutError, match=r"after 2 s: ModelLoadFailed"):
        deployments.wait_ready("vicuna", timeout=2, patience=600)


def test_one_that_is_not_there_is_not_waited_for(deployments):
    with pytest.raises(errors.DeploymentNotFoundError):
        deployments.wait_ready("none")
