"""Environment variables of the settings, as the API server takes them and gives them back."""

import time

from integration.operator.team import model
from support.eventually import eventually

ENV = [
    {"name": "PLAIN", "value": "0.05"},
    {"name": "EMPTY", "value": ""},
    {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1000m"}}},
    {"name": "HEADERS", "valueFrom": {"secretKeyRef": {"name": "collector", "key": "headers", "optional": True}}},
    {"name": "PROXY", "valueFrom": {"configMapKeyRef": {"name": "egress", "key": "proxy", "optional": False}}},
]
CHANGED = [{"name": "PLAIN", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]
DEPLOYMENTS = ("a-worker", "fastchat-gateway")


def env_of(team, deployment):
    """By name, as the API server has it."""
    found = eventually(lambda: team.get("deployments", deployment))
    return {each["name"]: each for each in found["spec"]["template"]["spec"]["containers"][0]["env"]}


def everywhere(team, name):
    """Whether gateway and worker have a variable."""
    return all(name in env_of(team, each) for each in DEPLOYMENTS)


def start(start_operator, team, env):
    operator = start_operator(namespaces=[team.name], resyncSeconds=1, gateway={"env": env}, worker={"env": env})
    eventually(lambda: operator.says(f"acting on {team.name}"))
    return operator


def test_variables_of_every_kind_are_written_once_and_further_passes_write_nothing(api_server, team, start_operator):
    def writes():
        return [each for each in api_server.writes("fastchat-operator") if f" {team.name}/" in each]

    team.apply(model("a"))
    first = start(start_operator, team, ENV)
    eventually(lambda: team.reason("a") and team.names("poddisruptionbudgets") and everywhere(team, "PROXY"))
    assert first.stop() == 0
    before = writes()
    assert sum(" deployments " in each for each in before) == len(DEPLOYMENTS)
    again = start(start_operator, team, ENV)
    time.sleep(2.5)
    assert again.stop() == 0
    assert writes() == before
    assert env_of(team, "a-worker")["ADDRESS"]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"  # which nobody asked for


def test_a_change_of_the_variables_changes_gateways_and_workers(team, start_operator):
    team.apply(model("a", engine={"env": [{"name": "EMPTY", "value": "mine"}]}))
    first = start(start_operator, team, ENV)
    eventually(lambda: everywhere(team, "PROXY"))
    assert env_of(team, "a-worker")["EMPTY"]["value"] == "mine"
    assert first.stop() == 0
    start(start_operator, team, CHANGED)
    eventually(lambda: not any("PROXY" in env_of(team, each) for each in DEPLOYMENTS))
    for deployment in DEPLOYMENTS:
        assert env_of(team, deployment)["PLAIN"].keys() == {"name", "valueFrom"}
        assert "FASTCHAT_INTERNAL_TOKEN" in env_of(team, deployment)
