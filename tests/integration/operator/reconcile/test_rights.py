"""An operator for some namespaces has rights in those alone."""

from integration.operator.team import GATEWAY_KINDS, model
from support.eventually import eventually


def test_an_operator_for_some_namespaces_needs_rights_in_no_other(
    api_server, make_account, rules, start_operator, make_namespace
):
    one, two, other = (make_namespace() for _ in range(3))
    operator = start_operator(make_account("limited", rules, one, two), namespaces=[one.name, two.name])
    before = len(api_server.writes("fastchat-operator"))
    for team in (other, one, two):
        team.apply(model("a"), model("b"))
    for team in (one, two):
        eventually(lambda team=team: team.reason("a") == team.reason("b") == "Starting")
        eventually(lambda team=team: all(team.get(kind, "fastchat-gateway") for kind in GATEWAY_KINDS))
        team.delete("services", "a-worker")
        eventually(lambda team=team: team.get("services", "a-worker"))
        team.delete("modeldeployments", "a")
        team.delete("modeldeployments", "b")
        eventually(lambda team=team: not any(team.get(kind, "fastchat-gateway") for kind in GATEWAY_KINDS))
    written = api_server.writes("fastchat-operator")[before:]
    assert {each.split()[2].partition("/")[0] for each in written} == {one.name, two.name}
    assert other.names("deployments") == set()
    assert operator.stop() == 0
    assert not operator.says("forbidden")
