"""With the chart's NetworkPolicies, on a network that enforces them: who reaches whom, and who does not."""

import pytest

REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=2).close()
    print("true")
except TimeoutError:
    print("false")
"""

CHAT = """
import sys
from urllib.request import Request, urlopen
body = b'{"model": "MODEL", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}'
request = Request(sys.argv[1] + "/chat/completions", body.replace(b"MODEL", sys.argv[2].encode()))
with urlopen(request, timeout=60) as answer:
    print(answer.status)
"""


@pytest.fixture(scope="module")
def team(enforced_policies, make_namespace):
    return make_namespace("team")


@pytest.fixture(scope="module")
def stranger(enforced_policies, make_namespace):
    return make_namespace("stranger")


@pytest.fixture(scope="module")
def addresses(team, stranger, release):
    """Where a worker and a gateway of the team listen, closed to all but whom the chart's values name."""
    release.install("operator.replicas=2", "networkPolicies.enabled=false")
    team.simulator("sim")
    team.wait_ready("sim")
    worker = (team.pods("sim")[0]["status"]["podIP"], "8000")
    assert stranger.ask(REACH, *worker)
    caller = "networkPolicies.gatewayFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name"
    release.install("operator.replicas=2", f"{caller}={team.name}")
    team.wait(lambda: team.kubectl("get", "networkpolicies"), lambda seen: "fastchat-workers" in seen)
    yield {"worker": worker, "gateway": (team.gateways()[0]["status"]["podIP"], "8080")}
    release.install("operator.replicas=2")


def test_who_may_call_is_answered_through_the_gateway(team, addresses):
    assert team.ask(CHAT, "sim") == 200
    assert team.ask(REACH, *addresses["gateway"])


def test_workers_are_reached_by_nobody_but_the_gateways_of_their_namespace(team, stranger, addresses):
    assert not team.ask(REACH, *addresses["worker"])
    assert not stranger.ask(REACH, *addresses["worker"])
    labels = team.gateways()[0]["metadata"]["labels"]
    stranger.kubectl("label", "pod", "client", *[f"{name}={value}" for name, value in labels.items()])
    assert not stranger.ask(REACH, *addresses["worker"])


def test_a_gateway_is_reached_by_nobody_whom_the_values_do_not_name(stranger, addresses):
    assert not stranger.ask(REACH, *addresses["gateway"])


def test_the_operator_may_ask_the_gateways_for_whom_to_wake(team, addresses):
    team.simulator("asleep", replicas=0, autoscaling={"minReplicas": 0, "maxReplicas": 1})
    team.wait(lambda: team.condition("asleep"), lambda seen: seen.get("reason") == "ScaledToZero")
    assert team.ask(CHAT, "asleep") == 200


def test_the_operator_is_asked_by_everyone_how_it_does(release, addresses):
    assert "Phase:          Succeeded" in release.helm("test", "fastchat", "--timeout=180s")


def test_workers_reach_dns_and_nobody_else_where_the_values_say_so(team, release, addresses):
    def worker_reaches(host, port):
        pod = team.pods("sim")[0]["metadata"]["name"]
        return team.kubectl("exec", "-i", pod, "--", "python", "-", "", host, port, input=REACH).strip() == "true"

    assert worker_reaches(*addresses["gateway"])
    egress = "networkPolicies.workerEgress"
    release.install("operator.replicas=2", f"{egress}.enabled=true", f"{egress}.dns:=[]")  # the node tells names here
    team.wait(lambda: worker_reaches(*addresses["gateway"]), lambda reached: not reached)
    assert worker_reaches("kube-dns.kube-system.svc", "53")
    assert team.ask(CHAT, "sim") == 200
