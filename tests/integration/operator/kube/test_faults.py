"""The API server is away, hangs, or cannot be heard any more."""

import json
import time

import pytest
from integration.operator.relay import Relay
from integration.operator.team import GATEWAY_KINDS, model
from support.eventually import eventually

OUTAGE_SECONDS = 50
"""Longer than every timeout of a connection that nothing comes from."""
STOP_SECONDS = 15
"""Of an operator that needs two; less than any of those timeouts."""


def acts_on(team, name):
    """Returns when a new model has workers."""
    team.apply(model(name))
    eventually(lambda: team.get("deployments", f"{name}-worker"))


@pytest.fixture
def relay(api_server):
    relay = Relay(int(api_server.url.rpartition(":")[2]))
    yield relay
    relay.close()


def through(kubeconfig, relay, folder):
    """The same kubeconfig, with the relay in place of the API server."""
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
    path = folder / "relayed.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_sigterm_ends_an_operator_that_works(start_operator, team):
    operator = start_operator(namespaces=[team.name])
    acts_on(team, "a")
    assert operator.stop(seconds=STOP_SECONDS) == 0


def test_what_went_while_no_operator_ran_is_cleared_up_by_the_next(start_operator, team):
    operator = start_operator(namespaces=[team.name])
    acts_on(team, "a")
    eventually(lambda: team.names("poddisruptionbudgets"))
    operator.stop()
    team.delete("modeldeployments", "a")
    start_operator(namespaces=[team.name])
    eventually(lambda: not any(team.get(kind, "fastchat-gateway") for kind in GATEWAY_KINDS))


def test_an_api_server_that_was_away_finds_the_operator_at_work(api_server, start_operator, team):
    operator = start_operator(namespaces=[team.name])
    acts_on(team, "before")
    api_server.stop()
    time.sleep(10)
    api_server.start()
    acts_on(team, "after")
    team.delete("services", "before-worker")
    eventually(lambda: team.get("services", "before-worker"))
    assert operator.alive


def test_a_long_silence_stops_nothing_for_good(
    api_server, operator_account, start_operator, make_namespace, relay, tmp_path
):
    """One wait for six operators: an API server that hangs, and connections that die and are never closed."""
    hung, cut, ending, late, led = (make_namespace() for _ in range(5))
    patient = start_operator(namespaces=[hung.name])
    deaf = start_operator(through(operator_account, relay, tmp_path), namespaces=[cut.name], resyncSeconds=3600)
    ended = start_operator(namespaces=[ending.name])
    leader = start_operator(
        environ={"POD_NAMESPACE": "fastchat-system"}, namespaces=[led.name], leaderElection={"name": "silence"}
    )
    for team in (hung, cut, ending, led):
        acts_on(team, "before")
    relay.cut()
    api_server.pause()
    began = time.monotonic()
    try:
        newcomer, stillborn = (start_operator(namespaces=[late.name]) for _ in range(2))
        time.sleep(5)
        assert ended.stop(seconds=STOP_SECONDS) == 0
        assert stillborn.stop(seconds=STOP_SECONDS) == 0
        time.sleep(11)
        assert leader.says("the Lease silence was not renewed in time")  # before anybody else could have taken over
        time.sleep(OUTAGE_SECONDS - (time.monotonic() - began))
    finally:
        api_server.resume()
        relay.mend()
    for team in (hung, cut, late, led):
        acts_on(team, "after")
    assert leader.alive
    assert patient.alive
    assert deaf.alive
    assert newcomer.alive


def test_what_no_watch_tells_is_found_by_the_next_pass_over_everything(make_account, rules, start_operator, team):
    deaf = [
        rule | {"verbs": [each for each in rule["verbs"] if each != "watch"]}
        for rule in rules
        if "apps" in rule["apiGroups"]
    ]
    account = make_account("deaf", [rule for rule in rules if "apps" not in rule["apiGroups"]] + deaf, team)
    operator = start_operator(account, namespaces=[team.name], resyncSeconds=1)
    acts_on(team, "a")
    uid = team.get("deployments", "a-worker")["metadata"]["uid"]
    team.delete("deployments", "a-worker")
    found = eventually(lambda: team.get("deployments", "a-worker"))
    assert found["metadata"]["uid"] != uid
    assert operator.says('cannot watch resource "deployments"')
