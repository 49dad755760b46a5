"""Of several operators one acts: the holder of the Lease."""

import signal
import time

import pytest
from integration.operator.team import model
from support.eventually import eventually

LASTS, RENEWED = 3, 1


@pytest.fixture
def start(start_operator, team, request):
    """Starts an operator that takes part in the election."""
    election = {"name": f"operator-{team.name}", "leaseSeconds": LASTS, "renewSeconds": RENEWED}

    def start_one(name):
        environ = {"POD_NAMESPACE": "fastchat-system", "POD_NAME": name}
        return start_operator(environ=environ, namespaces=[team.name], leaderElection=election)

    return start_one


@pytest.fixture
def holder(system, team):
    return lambda: ((system.get("leases", f"operator-{team.name}") or {}).get("spec") or {}).get("holderIdentity")


@pytest.fixture
def pair(start, holder):
    """The one that leads and the one that waits."""
    leader = start("one")
    eventually(lambda: holder() == "one")
    waiting = start("two")
    eventually(lambda: leader.says("acting on") and waiting.says("one leads"))
    return leader, waiting


def acts(team, name):
    team.apply(model(name))
    return eventually(lambda: team.get("deployments", f"{name}-worker"))


def test_one_of_two_acts_and_when_it_is_killed_the_other_takes_over(pair, holder, team):
    leader, waiting = pair
    acts(team, "a")
    assert holder() == "one"
    assert not waiting.says("acting on")
    leader.stop(signal.SIGKILL)
    acts(team, "b")
    assert holder() == "two"


def test_a_leader_that_is_told_to_stop_gives_the_lease_to_the_next_at_once(pair, holder, team):
    leader, waiting = pair
    assert leader.stop(seconds=4) == 0
    eventually(lambda: holder() == "two", seconds=2 * RENEWED)
    acts(team, "a")
    assert waiting.stop(seconds=4) == 0


def test_a_waiting_operator_ends_at_once_and_leaves_the_lease_alone(pair, holder):
    _, waiting = pair
    assert waiting.stop(seconds=4) == 0
    assert holder() == "one"


def test_a_leader_whose_lease_was_taken_stops_acting_before_it_would_have_run_out(pair, system, team):
    leader, _ = pair
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    taken = {"holderIdentity": "somebody", "renewTime": now, "leaseDurationSeconds": 60}
    system.patch("leases", f"operator-{team.name}", {"spec": taken})
    eventually(lambda: leader.says("was not renewed in time"), seconds=LASTS)
    assert leader.alive
