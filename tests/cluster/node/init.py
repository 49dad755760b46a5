"""The node's first process: makes the node's file system, then starts and stops what it is told, and reaps orphans.

It runs by itself, inside the node's namespaces; when it dies the kernel ends everything in them. It is told over a Unix
socket: one line of JSON, {"start": NAME, "command": [...]}, {"stop": NAME}, {"signal": NAME, "number": N} or {}, is
answered by the state of what was started and not stopped, {NAME: null while it runs, else its exit code}.
"""

import json
import os
import socketserver
import subprocess
import sys
from pathlib import Path

# Folders of the machine that the node's programs write in; what they write is gone with the node.
COVERED = ("/etc", "/opt", "/var")

# Folders of the node that are too big for memory, or wanted afterwards, and where they lie in the slot's folder.
ON_DISK = {"/var/lib/containerd": "containerd", "/var/lib/kubelet": "run/kubelet", "/var/log": "run/logs"}

# kubelet and Cilium set these for the whole machine. They find them as they want them, and the machine keeps its own.
TUNABLES = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
    "kernel/timer_migration": 0,
    "kernel/unprivileged_bpf_disabled": 1,
}


class Init(socketserver.UnixStreamServer):
    """What runs, by name."""

    def __init__(self, control: Path, logs: Path) -> None:
        super().__init__(str(control), Order)
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def service_actions(self) -> None:
        """Reap whatever has ended: our own, and the orphans that the kernel hands to a first process."""
        while any_left() and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            for process in self._processes.values():
                if process.pid == ended[0]:
                    process.returncode = os.waitstatus_to_exitcode(ended[1])

    def start(self, name: str, command: list[str]) -> None:
        if self.state().get(name, "none") is None:  # it runs
            return
        with (self._logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def signal(self, name: str, number: int) -> None:
        self._processes[name].send_signal(number)

    def state(self) -> dict[str, int | None]:
        return {name: process.returncode for name, process in self._processes.items()}


class Order(socketserver.StreamRequestHandler):
    """One order and its answer."""

    server: Init
    timeout = 5

    def handle(self) -> None:
        line = self.rfile.readline()
        if not line:  # it only looked whether we live
            return
        order = json.loads(line)
        if "start" in order:
            self.server.start(order["start"], order["command"])
        elif "stop" in order:
            self.server.stop(order["stop"])
        elif "signal" in order:
            self.server.signal(order["signal"], order["number"])
        self.wfile.write(json.dumps(self.server.state()).encode())


def any_left() -> bool:
    """Whether there is a child to wait for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def make_file_system(slot: Path, cache: Path) -> None:
    """The machine's files as the node sees them: all there, none that the node could change.

    The cache stays itself wherever it lies: /run keeps hold of it while its surroundings are covered.
    """
    let_go_of_containers(cache)
    mount("-t", "tmpfs", "tmpfs", "/run")
    kept = make_folder("/run/cache")
    mount("--bind", cache, kept)
    for folder in COVERED:
        upper, work = make_folder(f"/run/covered{folder}/upper"), make_folder(f"/run/covered{folder}/work")
        mount("-t", "overlay", "-o", f"lowerdir={folder},upperdir={upper},workdir={work}", "overlay", folder)
    mount("--bind", kept, cache)
    for place, folder in ON_DISK.items():
        mount("--bind", slot / folder, make_folder(place))
    for name, value in TUNABLES.items():
        if not (Path("/proc/sys") / name).exists():  # a kernel without what it is about
            continue
        stand_in = make_folder("/run/tunables") / name.replace("/", "-")
        stand_in.write_text(f"{value}\n")
        mount("--bind", stand_in, Path("/proc/sys") / name)
    mount("--make-rshared", "/")


def let_go_of_containers(cache: Path) -> None:
    """Unmount here what buildah and its like have mounted: they could not take it away while the node holds it."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for _, place, kind, *_ in reversed(mounts):
        if cache in Path(place).parents or (kind == "overlay" and place != "/"):
            subprocess.run(["umount", "--lazy", place], check=True)


def make_folder(path: str) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    slot, cache = Path(sys.argv[1]), Path(sys.argv[2])
    make_file_system(slot, cache)
    with Init(slot / "run/control", slot / "run/logs") as init:
        init.serve_forever(poll_interval=0.1)
