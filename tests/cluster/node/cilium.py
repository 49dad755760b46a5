"""Cilium behind the node's own network plugin, where NetworkPolicies are to be enforced."""

import json
import os
import subprocess

from cluster.client import Cluster
from cluster.node import machine, programs, startup
from cluster.node.slot import Slot
from cluster.tools import binaries, packages
from cluster.tools.binaries import UnsupportedError

AGENT = "cilium-agent"
_HEALTH = "http://127.0.0.1:9879/healthz"

# Addresses and routes stay the node's own plugin's, Services kube-proxy's: Cilium decides what passes, and no more.
_OPTIONS = {
    "cni-chaining-mode": "generic-veth",
    "ipam": "delegated-plugin",
    "local-router-ipv4": programs.POD_GATEWAY,
    "ipv4-native-routing-cidr": programs.POD_CIDR,
    "routing-mode": "native",
    "enable-endpoint-routes": "true",
    "enable-host-legacy-routing": "true",
    "enable-local-node-route": "false",
    "enable-ipv4-masquerade": "false",
    "enable-ipv6": "false",
    "kube-proxy-replacement": "false",
    "bpf-lb-sock": "false",
    "enable-l7-proxy": "false",
    "enable-hubble": "false",
    "enable-health-checking": "false",
    "enable-endpoint-health-checking": "false",
}

_PREPARE = """
set -e
mount -t bpf bpf /sys/fs/bpf
mkdir -p /var/lib/cilium
cp -r --no-preserve=mode {sources}/bpf /var/lib/cilium
mountpoint --quiet /usr/lib/cni || mount -t overlay -o lowerdir={plugins}:/usr/lib/cni overlay /usr/lib/cni
"""

# The files in /sys/fs/bpf hold what the kernel was given. The plugin stays: pods that it knows leave through it.
_CLEAR = """
umount /sys/fs/bpf /run/cilium/cgroupv2
ip link delete cilium_host
rm -rf /run/cilium /var/lib/cilium
"""


def start(slot: Slot, cluster: Cluster) -> None:
    """From here on NetworkPolicies are enforced on every pod that is made.

    Raises:
        UnsupportedError: this kernel cannot enforce any.
        UnavailableError: it cannot be had on this machine.
        RuntimeError, TimeoutError: it does not come up; the message says what to read.
    """
    if not os.path.isdir("/sys/fs/bpf"):
        raise UnsupportedError("this kernel has no BPF to enforce NetworkPolicies with")
    packages.require(packages.CILIUM)
    tools = binaries.tools(AGENT, "cilium-cni")
    sources = binaries.sources("cilium", "github.com/cilium/cilium")
    resources = sources / "pkg/k8s/apis/cilium.io/client/crds"
    cluster.kubectl("apply", "--server-side", f"--filename={resources}/v2", f"--filename={resources}/v2alpha1")
    _run(slot, _PREPARE.format(sources=sources, plugins=tools["cilium-cni"].parent))
    _use_plugins(slot, *programs.CNI["plugins"], {"type": "cilium-cni", "chaining-mode": "generic-veth"})
    machine.order(slot, start=AGENT, command=_command(slot, str(tools[AGENT])))
    try:
        startup.until_answered(slot, "Cilium is ready", binaries.tools("pod")["pod"], _HEALTH)
    except BaseException:
        stop(slot)
        raise


def stop(slot: Slot) -> None:
    """From here on every pod is reached from everywhere, as before `start`."""
    _use_plugins(slot, *programs.CNI["plugins"])
    machine.order(slot, stop=AGENT)
    _run(slot, _CLEAR)


def _command(slot: Slot, agent: str) -> list[str]:
    environment = [f"PATH={packages.CLANG.parent}:{os.environ['PATH']}", f"K8S_NODE_NAME={programs.NAME}"]
    options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
    return ["env", *environment, agent, f"--k8s-kubeconfig-path={slot.run / 'kubeconfig'}", *options]


def _use_plugins(slot: Slot, *plugins: dict[str, object]) -> None:
    """containerd reads the list again when it changes."""
    programs.cni(slot.run / "settings").write_text(json.dumps(programs.CNI | {"plugins": plugins}))


def _run(slot: Slot, script: str) -> None:
    subprocess.run([*machine.inside(slot, "--mount", "--pid"), "sh", "-c", script], check=True)
