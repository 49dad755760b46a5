"""The tests' cluster by hand, and tools: python -m cluster up | down | status | kubeconfig | exec | compiler | helm"""

import argparse
import subprocess
import sys
import time

from cluster import local, skips
from cluster.local import LocalCluster
from cluster.tools import binaries, packages
from cluster.tools.binaries import UnavailableError


def main() -> int:
    """Exit code: 0, that of the command of `exec`, or 1 with one line of why not."""
    parser = argparse.ArgumentParser(prog="cluster", description="A single-node Kubernetes for this checkout's tests.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("up", help="start it, unless it runs")
    actions.add_parser("down", help="end it and remove all of it but its logs and images")
    actions.add_parser("status", help="what runs")
    actions.add_parser("kubeconfig", help="path of the administrator's kubeconfig")
    actions.add_parser("exec", help="run a command as on the node").add_argument("command", nargs="+")
    actions.add_parser("compiler", help="have a C compiler here, for the gateway as its image has it")
    actions.add_parser("helm", help="run helm").add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    try:
        if given.action == "helm":
            return subprocess.run([binaries.tools("helm")["helm"], *given.command]).returncode
        if given.action == "compiler":
            return compiler()
        if given.action == "up":
            return up()
        if given.action == "down":
            return down()
        if not (cluster := local.running()):
            sys.exit("no cluster: up starts one")
        return cluster.exec(given.command) if given.action == "exec" else show(cluster, given.action)
    except (UnavailableError, RuntimeError, TimeoutError) as error:
        sys.exit(str(error))


def compiler() -> int:
    """77, as a skipped test of automake has it, where there may be none; where there must be one, UnavailableError."""
    try:
        packages.require(packages.COMPILER)
    except UnavailableError as reason:
        if not skips.may_skip():
            raise
        print(f"not tested here: what is compiled ({reason})", file=sys.stderr)
        return 77
    return 0


def up() -> int:
    started = time.monotonic()
    cluster = local.up()
    print(f"up after {time.monotonic() - started:.1f} s: export KUBECONFIG={cluster.kubeconfig}")
    return 0


def down() -> int:
    logs = local.down()
    print(f"down; logs in {logs}" if logs else "no cluster was up")
    return 0


def show(cluster: LocalCluster, what: str) -> int:
    if what == "kubeconfig":
        print(cluster.kubeconfig)
        return 0
    for program, code in cluster.state().items():
        print(f"{program:24} {'runs' if code is None else f'ended with {code}'}")
    print(f"kubeconfig {cluster.kubeconfig}\nregistry {cluster.registry_push_url}\nlogs {cluster.logs_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
