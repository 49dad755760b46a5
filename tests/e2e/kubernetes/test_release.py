"""The life of an installation: checked, upgraded, removed and put back, while a model is served."""

import pytest
from product.traffic import Traffic


@pytest.fixture(scope="module")
def team(make_namespace):
    team = make_namespace("release")
    team.simulator("sim")
    team.wait_ready("sim")
    return team


def test_helm_test_finds_the_operator_ready(release):
    assert "Phase:          Succeeded" in release.helm("test", "fastchat", "--timeout=60s")


def test_an_upgrade_rolls_new_settings_out_to_the_gateways_without_a_failed_request(team, release):
    with Traffic(team, "sim", retries=1) as traffic:
        release.install("operator.replicas=2", "gateway.replicas=3")
        gateway = ("deployment", "fastchat-gateway")
        team.wait(lambda: team.get(*gateway)["status"].get("readyReplicas"), lambda ready: ready == 3)
        traffic.wait_for(20)
        seen = traffic.stop()
    assert seen["failures"] == []


def test_models_are_served_on_without_the_operator_and_an_operator_that_comes_back_takes_over(team, release):
    before = {pod["metadata"]["uid"] for pod in team.pods("sim")}
    with Traffic(team, "sim") as traffic:
        release.uninstall()
        assert "sim" in team.kubectl("get", "md")
        traffic.wait_for(20)
        release.install("operator.replicas=2")
        team.kubectl("scale", "md/sim", "--replicas=2")
        team.wait_ready("sim")
        seen = traffic.stop()
    assert seen["failures"] == []
    assert before <= {pod["metadata"]["uid"] for pod in team.pods("sim")}


@pytest.mark.parametrize(
    "action", [("get", "secrets"), ("create", "pods"), ("delete", "namespaces"), ("get", "nodes"), ("update", "md")]
)
def test_the_operators_rights_end_where_its_work_does(cluster, release, action):
    with pytest.raises(RuntimeError):
        cluster.kubectl("auth", "can-i", *action, "--as=system:serviceaccount:fastchat-system:fastchat-operator")
