"""The single-node cluster that the tests make for themselves: up, in use, down."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster.client import Cluster
from cluster.control_plane import audit
from cluster.node import cilium, machine, programs, startup, storage, volume
from cluster.node.slot import CHECKOUT, Slot, claim, mine
from cluster.tools import binaries, packages
from cluster.tools.binaries import UnavailableError, cache


class LocalCluster(Cluster):
    """A cluster with everything of it in reach.

    Attributes:
        logs_dir: logs of the node's programs; those of its pods are in the folder `pods`
        host_address: where pods reach servers of this machine
        node_address: where this machine reaches servers in the node's network
    """

    external = False

    def __init__(self, slot: Slot) -> None:
        kubectl = binaries.tools("kubectl")["kubectl"]
        super().__init__(slot.run / "kubeconfig", kubectl, slot.registry, programs.REGISTRY)
        self._slot = slot
        self.logs_dir = slot.run / "logs"
        self.host_address = slot.host_address
        self.node_address = slot.node_address

    @property
    def pod_image(self) -> str:
        """Reference of an image with the program of go/pod: a web server and its client."""
        return startup.push_pod_image(self._slot, binaries.tools("pod")["pod"])

    def image(self, name: str) -> str:
        known = name in self._images
        reference = super().image(name)
        if not known:
            storage.pull(reference, machine.inside(self._slot, "--mount", "--pid"))
        return reference

    def in_node(self, command: Sequence[str]) -> list[str]:
        """Command line that runs another in the node's network, where pods and Services are reached."""
        return [*machine.inside(self._slot), *command]

    def run_in_node(self, command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[Any]":
        """`subprocess.run` in the node's network."""
        return subprocess.run(self.in_node(command), **options)

    def exec(self, command: Sequence[str]) -> int:
        """Exit code of a command that runs as on the node: its files, network and processes."""
        return subprocess.run([*machine.inside(self._slot, "--mount", "--pid"), *command]).returncode

    def stop(self, program: str) -> None:
        """Kill one of the node's programs, such as kube-apiserver."""
        machine.order(self._slot, stop=program)

    def start(self, program: str) -> None:
        """Start a stopped program again, with the data it had; an API server is ready when this returns."""
        commands = json.loads((self._slot.run / "commands.json").read_text())
        machine.order(self._slot, start=program, command=commands[program])
        if program == "kube-apiserver":
            startup.wait_for_api(self._slot)

    def pause(self, program: str) -> None:
        """Let a program hang: its connections stay open, and nothing answers."""
        machine.order(self._slot, signal=program, number=signal.SIGSTOP)

    def resume(self, program: str) -> None:
        machine.order(self._slot, signal=program, number=signal.SIGCONT)

    def signal(self, container: str, sig: signal.Signals) -> int:
        """Send a signal to all processes of a container, by its id as a pod's status tells it; how many there are."""
        _, _, name = container.rpartition("/")
        sent = 0
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if name in (folder / "cgroup").read_text():
                    os.kill(int(folder.name), sig)
                    sent += 1
        return sent

    def state(self) -> dict[str, int | None]:
        """The node's programs: None while one runs, else its exit code."""
        return machine.order(self._slot)

    def drop_api_traffic(self, pod_addresses: Sequence[str]) -> None:
        """Lose every packet between these pods and the API server, without a word to either, until `restore`."""
        pods = f"{{ {', '.join(pod_addresses)} }}"
        rules = f"""table ip lost {{
            chain to {{ type filter hook input priority raw; ip saddr {pods} tcp dport 6443 drop; }}
            chain from {{ type filter hook output priority raw; ip daddr {pods} tcp sport 6443 drop; }}
        }}"""
        self.run_in_node(["nft", "--file", "-"], input=rules, text=True, check=True)

    def restore(self) -> None:
        """Let the packets pass again."""
        self.run_in_node(["nft", "delete", "table", "ip", "lost"], check=True)

    @contextmanager
    def enforcing_policies(self) -> Iterator[None]:
        """NetworkPolicies are enforced on the pods that are made within it.

        Raises:
            UnavailableError, RuntimeError, TimeoutError: as `up`.
        """
        cilium.start(self._slot, self)
        try:
            yield
        finally:
            cilium.stop(self._slot)

    def offer(self, resource: str, amount: int | None) -> None:
        """Have the node say that it has so many of an extended resource, such as nvidia.com/gpu; None takes it away."""
        value = str(amount) if amount is not None else None
        patch = {"status": {"capacity": {resource: value}, "allocatable": {resource: value}}}
        self.kubectl("patch", "node", programs.NAME, "--subresource=status", f"--patch={json.dumps(patch)}")

    def volume(self, namespace: str, name: str, size: str = "1Gi") -> Path:
        """Make a claim of this name, bound to an empty folder of this machine; the folder."""
        folder = self._slot.run / "volumes" / namespace / name
        folder.mkdir(parents=True)
        folder.chmod(0o777)  # pods run as users that this machine does not know
        self.apply(*volume.objects(namespace, name, size, folder))
        return folder

    def writes(self, user_agent: str = "") -> list[str]:
        """Every successful write so far of clients whose user agent begins so; see `audit.writes`."""
        return audit.writes(self._slot.run / "settings/audit/log", user_agent)


def up() -> LocalCluster:
    """This checkout's cluster, the one that runs or a new one, until `down`.

    Raises:
        UnavailableError: this machine cannot have one.
        RuntimeError, TimeoutError: it did not come up; the message says what to read.
    """
    with _changing():
        slot = _running() or _start()
        (slot.run / "kept").touch()
        return LocalCluster(slot)


@contextmanager
def used() -> Iterator[LocalCluster]:
    """This checkout's cluster, the one that runs or a new one. The last user ends it, unless `up` was told to keep it.

    Raises:
        UnavailableError, RuntimeError, TimeoutError: as `up`.
    """
    with _changing():
        slot = _running() or _start()
        users = os.open(slot.folder / "users", os.O_CREAT | os.O_RDWR, 0o644)
        fcntl.flock(users, fcntl.LOCK_SH)
    try:
        yield LocalCluster(slot)
    finally:
        with _changing():
            if not (slot.run / "kept").exists() and _is_last(users):
                machine.end(slot)
            os.close(users)


def running() -> LocalCluster | None:
    """This checkout's cluster, if it is up."""
    slot = _running()
    return LocalCluster(slot) if slot else None


def down() -> Path | None:
    """End this checkout's cluster, or what is left of it; the folder with its logs."""
    with _changing():
        if not (slot := mine()):
            return None
        machine.end(slot)
        return slot.run / "logs"


@contextmanager
def _changing() -> Iterator[None]:
    """While it holds, no other process brings this checkout's cluster up or down."""
    folder = os.open(CHECKOUT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _is_last(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _running() -> Slot | None:
    slot = mine()
    return slot if slot and (slot.run / "ready").exists() and machine.first_process(slot) else None


def _start() -> Slot:
    _require_root_on_linux()
    packages.require(packages.CLUSTER)
    tools = binaries.tools(*startup.TOOLS)
    if left := mine():
        machine.end(left)
    storage.empty_registry(cache() / "registry")
    slot, lock = claim()
    try:
        machine.boot(slot, lock, programs.DNS_ADDRESS)
        startup.start(slot, tools)
        (slot.run / "ready").touch()
    except BaseException:
        os.close(lock)
        machine.end(slot)
        raise
    os.close(lock)
    return slot


def _require_root_on_linux() -> None:
    if sys.platform != "linux" or os.geteuid():
        raise UnavailableError("a cluster of its own needs Linux and root; or name another one with KUBECONFIG")
