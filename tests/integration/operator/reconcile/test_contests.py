"""Somebody else writes what the operator writes: it gives way step by step, and says who it is."""

import itertools
import threading
from contextlib import contextmanager

import httpx
import pytest
from integration.operator.team import Admin, Namespace, model
from support.eventually import eventually, repeatedly

SECONDS = 5
FEW = 8
"""Writes in that time: three at once, then after 1, 2 and 4 s. It was 561."""


@pytest.fixture(autouse=True, scope="module")
def running(operator):
    """One operator for all namespaces."""


@pytest.fixture
def fight(api_server, tmp_path, team):
    """Does something again and again for some seconds, in a thread with a client of its own."""

    @contextmanager
    def going_on(act):
        admin = Admin(api_server.kubeconfig, tmp_path)
        try:
            with repeatedly(lambda: act(Namespace(admin, team.name))):
                yield
        finally:
            admin.close()

    return going_on


def written(api_server, team, what):
    return [each for each in api_server.writes("fastchat-operator") if each == f"patch {what.format(team.name)}"]


def contested(operator):
    text = httpx.get(f"http://127.0.0.1:{operator.health_port}/metrics", trust_env=False).text
    return [each for each in text.splitlines() if each.startswith("fastchat_operator_contested{")]


def settled(team, name):
    eventually(lambda: team.reason(name) and team.names("poddisruptionbudgets"))


def test_a_second_writer_of_workers_is_told_by_name_and_not_fought(api_server, team, fight, operator):
    team.apply(model("a"))
    settled(team, "a")
    team.count("a-worker", replicas=1, updatedReplicas=1, readyReplicas=1)
    team.count("fastchat-gateway", replicas=2, readyReplicas=2, availableReplicas=2)
    eventually(lambda: team.reason("a") == "Ready")
    before = len(written(api_server, team, "deployments {}/a-worker"))
    with fight(lambda team: team.patch("deployments", "a-worker", {"spec": {"replicas": 7}})):
        threading.Event().wait(SECONDS)
        status, _, message = eventually(lambda: team.reason("a") == "Contested" and team.condition("a"))
        assert len(written(api_server, team, "deployments {}/a-worker")) - before <= FEW
        assert len(written(api_server, team, "modeldeployments/status {}/a")) <= 10
    assert status == "True"
    assert message.startswith("Deployment 'a-worker' is changed again and again by field manager 'python-httpx'")
    (series,) = contested(operator)
    assert f'kind="Deployment",name="a-worker",namespace="{team.name}"' in series
    eventually(lambda: team.get("deployments", "a-worker")["spec"]["replicas"] == 1)
    assert [each for each, _ in team.events("a")].count("Contested") == 1


def test_a_second_writer_of_a_gateway_is_told_by_every_model(api_server, team, fight):
    team.apply(model("a"), model("b"))
    settled(team, "a")
    before = len(written(api_server, team, "services {}/fastchat-gateway"))
    with fight(lambda team: team.patch("services", "fastchat-gateway", {"spec": {"selector": {"x": "y"}}})):
        eventually(lambda: {team.reason(name, "GatewayReady") for name in "ab"} == {"Contested"})
        threading.Event().wait(SECONDS / 2)
    assert len(written(api_server, team, "services {}/fastchat-gateway")) - before <= FEW


def test_who_deletes_what_is_made_is_not_fought(api_server, team, fight):
    team.apply(model("a"))
    settled(team, "a")
    with fight(lambda team: team.delete("services", "a-worker")):
        eventually(lambda: team.reason("a") == "Contested")
        threading.Event().wait(SECONDS / 2)
        assert len(written(api_server, team, "services {}/a-worker")) <= FEW
    assert "by somebody who deletes it" in team.condition("a")[2]
    eventually(lambda: team.get("services", "a-worker"))


def test_a_second_writer_of_the_status_is_not_fought(api_server, team, fight):
    team.apply(model("a"))
    settled(team, "a")
    numbers = itertools.count()
    with fight(lambda team: team.patch("modeldeployments", "a/status", {"status": {"url": f"http://{next(numbers)}"}})):
        threading.Event().wait(SECONDS)
        assert len(written(api_server, team, "modeldeployments/status {}/a")) <= FEW + 3
    eventually(lambda: team.reason("a") == "Contested")
    assert "the status of ModelDeployment 'a' is changed again and again by" in team.condition("a")[2]


def test_a_second_scaler_is_not_fought(api_server, team, fight):
    team.apply(model("a", autoscaling={"minReplicas": 2, "maxReplicas": 3}))
    eventually(lambda: team.get("modeldeployments", "a")["spec"]["replicas"] == 2)
    with fight(lambda team: team.patch("modeldeployments", "a", {"spec": {"replicas": 1}})):
        threading.Event().wait(SECONDS)
        assert len(written(api_server, team, "modeldeployments/scale {}/a")) <= FEW
        assert len([each for each, _ in team.events("a") if each == "ScaledUp"]) <= FEW
    eventually(lambda: team.reason("a", "Autoscaling") == "Contested")
    assert "python-httpx" in team.condition("a", "Autoscaling")[2]


def test_two_operators_that_want_different_things_come_to_rest(api_server, team, start_operator):
    start_operator(namespaces=[team.name], worker={"nodeSelector": {"pool": "other"}})
    team.apply(model("a"))
    threading.Event().wait(SECONDS)
    assert len(written(api_server, team, "deployments {}/a-worker")) <= 3 * FEW
    assert len(written(api_server, team, "modeldeployments/status {}/a")) <= 4 * FEW
    eventually(lambda: team.reason("a") == "Contested")
    assert "another operator of FastChat" in team.condition("a")[2]
