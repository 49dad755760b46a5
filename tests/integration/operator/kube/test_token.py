"""The Secret by which gateways, workers and operator of a namespace know each other."""

import base64

import pytest
from integration.operator.team import model
from support.eventually import eventually

INTERNAL = "fastchat-internal"


def token(team):
    return base64.b64decode((team.get("secrets", INTERNAL) or {}).get("data", {}).get("token", "")).decode()


@pytest.fixture
def operator(start_operator, team):
    return start_operator(namespaces=[team.name], resyncSeconds=1)


def test_it_is_there_before_the_pods_that_need_it_and_goes_with_the_last_model(operator, team, api_server):
    team.apply(model("a"), model("b"))
    eventually(lambda: team.get("deployments", "fastchat-gateway") and team.get("deployments", "a-worker"))
    ours = [each for each in api_server.writes("fastchat-operator") if f" {team.name}/" in each]
    made = [each.split()[1] for each in ours if "secrets" in each or "deployments" in each]
    assert made.index("secrets") < made.index("deployments")
    assert made.count("secrets") == 1
    assert len(token(team)) == 43
    assert not operator.says(token(team))
    team.delete("modeldeployments", "a")
    team.delete("modeldeployments", "b")
    eventually(lambda: not team.get("secrets", INTERNAL))


def test_one_that_somebody_deletes_or_empties_is_put_back_with_the_token_that_runs(operator, team):
    team.apply(model("a"))
    before = eventually(lambda: token(team))
    team.delete("secrets", INTERNAL)
    assert eventually(lambda: token(team)) == before
    team.patch("secrets", INTERNAL, {"data": {"token": None}})
    assert eventually(lambda: token(team)) == before


def test_a_restart_goes_on_with_the_token_that_is_there(operator, team, start_operator, api_server):
    team.apply(model("a"))
    before = eventually(lambda: token(team))
    eventually(lambda: team.names("poddisruptionbudgets"))
    assert operator.stop() == 0
    again = start_operator(namespaces=[team.name])
    eventually(lambda: again.says("acting on"))
    team.apply(model("b"))
    eventually(lambda: team.reason("b"))
    assert token(team) == before


def test_every_namespace_has_one_of_its_own(start_operator, make_namespace):
    one, two = make_namespace(), make_namespace()
    start_operator(namespaces=[one.name, two.name])
    for team in (one, two):
        team.apply(model("a"))
    assert eventually(lambda: token(one)) != eventually(lambda: token(two))


def test_where_it_may_not_be_made_the_status_says_so(start_operator, make_account, rules, team):
    without = [rule for rule in rules if "secrets" not in rule["resources"]]
    start_operator(make_account("no-secrets", without, team), namespaces=[team.name])
    team.apply(model("a"))
    status, reason, message = eventually(lambda: team.condition("a"))
    assert (status, reason) == ("False", "ApplyFailed")
    assert 'secrets "fastchat-internal" is forbidden' in message
    assert not team.get("deployments", "a-worker")
