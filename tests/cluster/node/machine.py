"""The node's machine: namespaces of its own on this one, joined to it by a cable, and gone without a trace."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.node import cgroups
from cluster.node.slot import Slot
from cluster.tools.binaries import UnavailableError, cache

INIT = Path(__file__).parent / "init.py"
BOOT_SECONDS = 60
END_SECONDS = 60

SETTINGS = """
set -e
ip link set lo up
ip address add {node}/30 dev eth0
ip link set eth0 up
ip route add default via {host}
sysctl --quiet --write net.ipv4.ip_forward=1
nft add table ip machine
nft 'add chain ip machine postrouting {{ type nat hook postrouting priority srcnat; }}'
nft add rule ip machine postrouting oifname eth0 masquerade
rm -f /etc/resolv.conf
printf 'nameserver {dns}\\n' > /etc/resolv.conf
"""


def boot(slot: Slot, lock: int, dns: str) -> None:
    """Make the machine; its first process keeps `lock` for as long as it lives.

    Raises:
        UnavailableError: this kernel, or whoever runs it, does not allow it.
    """
    clear(slot)
    shutil.rmtree(slot.run, ignore_errors=True)
    for folder in (slot.folder / "containerd", slot.run / "kubelet", slot.run / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    cgroups.create(slot.cgroup)
    init = _isolate(slot, lock)
    cable = f"link add {slot.link} type veth peer name eth0 netns {init}"
    for settings in (cable, f"address add {slot.host_address}/30 dev {slot.link}", f"link set {slot.link} up"):
        subprocess.run(["ip", *settings.split()], check=True)
    script = SETTINGS.format(node=slot.node_address, host=slot.host_address, dns=dns)
    subprocess.run([*inside(slot, "--mount"), "sh", "-c", script], check=True)


def _isolate(slot: Slot, lock: int) -> int:
    """Start the first process in namespaces of its own; its process id."""
    isolated = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*isolated, sys.executable, "-I", str(INIT), str(slot.folder), str(cache())]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    log = slot.run / "logs/init.log"
    files: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    os.set_inheritable(lock, True)
    process = os.posix_spawnp(command[0], command, environment, file_actions=files, setsid=True)
    deadline = time.monotonic() + BOOT_SECONDS
    while not (init := first_process(slot)):
        if os.waitpid(process, os.WNOHANG)[0]:
            raise UnavailableError(f"no namespaces to be had here: {log.read_text()}")
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            raise TimeoutError(f"the node's first process does not answer; its log is {log}")
        time.sleep(0.02)
    return init


def end(slot: Slot) -> None:
    """Kill the machine, if it lives, and leave nothing of it but its logs and containerd's images."""
    deadline = time.monotonic() + END_SECONDS
    while (lock := slot.try_lock()) is None:
        if init := first_process(slot):
            with suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cluster in {slot.folder} does not end")
        time.sleep(0.05)
    clear(slot)
    slot.owner.unlink(missing_ok=True)
    os.close(lock)


def clear(slot: Slot) -> None:
    """Remove what a dead machine left behind."""
    subprocess.run(["ip", "link", "delete", slot.link], capture_output=True)  # mostly gone with its other end
    cgroups.remove(slot.cgroup)
    for left in slot.run.iterdir() if slot.run.exists() else []:
        if left.name != "logs":
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def first_process(slot: Slot) -> int | None:
    """Process id of the machine's first process as this machine counts, if it lives."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(slot.control))
        except OSError:
            return None
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])


def order(slot: Slot, **what: Any) -> dict[str, int | None]:
    """Tell the first process something; the state of its programs, see init.py."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(slot.control))
        connection.sendall(json.dumps(what).encode() + b"\n")
        with connection.makefile() as answer:
            line = answer.read()
    if not line:
        raise RuntimeError(f"{what} failed: {(slot.run / 'logs/init.log').read_text()[-1000:]}")
    state: dict[str, int | None] = json.loads(line)
    return state


def inside(slot: Slot, *namespaces: str) -> Sequence[str]:
    """Prefix of a command line that is to run in the node's network, and in other namespaces of it that are named."""
    return ["nsenter", f"--target={first_process(slot)}", "--net", *namespaces]
