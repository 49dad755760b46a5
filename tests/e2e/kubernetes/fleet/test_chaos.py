"""Everything that breaks, in turn, under 16 clients: no request fails, and no stream is cut.

FASTCHAT_CHAOS_SECONDS (default: once through everything) goes on for longer.
"""

import json
import os
import random
import signal
import time

import pytest
from product.traffic import Traffic

SECONDS = float(os.environ.get("FASTCHAT_CHAOS_SECONDS", "0"))
CLIENTS = 16
PAUSE_SECONDS = 3


@pytest.fixture
def team(make_namespace):
    team = make_namespace("chaos")
    team.simulator("sim", "--tokens=20", "--interval=0.05", "--load=1", replicas=3)
    team.wait_ready("sim")
    return team


class Chaos:
    """The things that go wrong."""

    def __init__(self, team, release, cluster):
        self._team = team
        self._release = release
        self._cluster = cluster

    def _worker(self):
        self._team.wait_ready("sim")
        return random.choice(self._team.pods("sim"))

    def _signal(self, sig):
        (container,) = self._worker()["status"]["containerStatuses"]
        assert self._cluster.signal(container["containerID"], sig)
        return container["containerID"]

    def kill_a_worker(self):
        self._signal(signal.SIGKILL)

    def freeze_a_worker(self):
        container = self._signal(signal.SIGSTOP)
        time.sleep(20)
        self._cluster.signal(container, signal.SIGCONT)

    def take_a_worker_away(self):
        self._team.kubectl("delete", "pod", self._worker()["metadata"]["name"], "--wait=false")

    def drain_a_workers_node(self):
        """Of that worker: the others are there to stay."""
        self._team.drain(self._worker())

    def delete_a_gateway_pod(self):
        gateways = self._team.gateways()
        self._team.kubectl("delete", "pod", gateways[0]["metadata"]["name"], "--wait=false")

    def delete_the_operators(self):
        for name in self._release.operators():
            self._cluster.kubectl("--namespace=fastchat-system", "delete", "pod", name, "--wait=false")

    def roll_out(self):
        arguments = ["8000", "--host=0.0.0.0", "--tokens=20", "--interval=0.05", f"--load=1.{random.randrange(10**6)}"]
        patch = {"spec": {"engine": {"args": arguments}}}
        self._team.kubectl("patch", "md", "sim", "--type=merge", f"--patch={json.dumps(patch)}")

    def scale_down_and_up(self):
        for replicas in (1, 3):
            self._team.kubectl("scale", "md/sim", f"--replicas={replicas}")
            time.sleep(5)

    def restart_the_api_server(self):
        self._cluster.stop("kube-apiserver")
        time.sleep(3)
        self._cluster.start("kube-apiserver")

    @property
    def everything(self):
        yield from (self.kill_a_worker, self.freeze_a_worker, self.take_a_worker_away, self.drain_a_workers_node)
        yield from (
            self.delete_a_gateway_pod,
            self.delete_the_operators,
            self.roll_out,
            self.scale_down_and_up,
            self.restart_the_api_server,
        )


def test_whatever_breaks_no_request_fails_and_no_stream_is_cut(team, release, local_cluster):
    chaos = Chaos(team, release, local_cluster)
    until = time.monotonic() + SECONDS
    with Traffic(team, "sim", clients=CLIENTS, retries=1) as traffic:
        while True:
            for happening in chaos.everything:
                happening()
                time.sleep(PAUSE_SECONDS)
                traffic.wait_for(4 * CLIENTS)
            if time.monotonic() > until:
                break
        team.wait_ready("sim")
        seen = traffic.stop()
    print(f"\n{seen['answers']} answers, longest {seen['longest']} s, longest pause {seen['pause']} s")
    assert seen["failures"] + seen["cut"] == []
