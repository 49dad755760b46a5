"""NetworkPolicies are there while the setting says so."""

from integration.operator.team import model
from support.eventually import eventually


def test_network_policies_come_and_go_with_their_setting(team, start_operator):
    closed = {"enabled": True, "workerFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]}
    team.apply(model("a"))
    first = start_operator(namespaces=[team.name], networkPolicy=closed)
    eventually(lambda: team.names("networkpolicies") == {"fastchat-gateway", "fastchat-workers"})
    assert first.stop() == 0
    start_operator(namespaces=[team.name], networkPolicy={"enabled": False})
    eventually(lambda: team.names("networkpolicies") == set())
    assert team.get("deployments", "fastchat-gateway")


def test_a_port_that_somebody_opened_is_closed_again(team, start_operator):
    team.apply(model("a"))
    start_operator(namespaces=[team.name], networkPolicy={"enabled": True})
    rule = eventually(lambda: team.get("networkpolicies", "fastchat-workers"))["spec"]["ingress"][0]
    opened = {"ports": [*rule["ports"], {"port": 22, "protocol": "TCP"}], "from": rule["from"]}
    team.patch("networkpolicies", "fastchat-workers", {"spec": {"ingress": [opened]}})
    eventually(lambda: team.get("networkpolicies", "fastchat-workers")["spec"]["ingress"] == [rule])
