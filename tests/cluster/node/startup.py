"""From a bare machine to a cluster that runs pods: programs in their order, and the proof that they work together."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cluster.client import Cluster
from cluster.control_plane.apiserver import is_ready
from cluster.control_plane.commands import HOSTS, SERVICE_ADDRESS, Keys
from cluster.control_plane.pki import ADMIN_GROUP, Authority, write_secret
from cluster.images import registry
from cluster.node import machine, programs
from cluster.node.slot import Slot
from cluster.tools.binaries import cache

TOOLS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "coredns",
    "pod",
)
SECONDS = 300

# To answer this inside the node takes kube-proxy, for the name and for the connection, and CoreDNS, for both.
PROOF = f"http://kube-dns.kube-system.svc.{programs.DOMAIN}:8181/ready"


def start(slot: Slot, tools: dict[str, Path]) -> None:
    """Start every program on a machine that was booted; when this returns, pods start and find each other.

    Raises:
        RuntimeError: a program ended; the message has the end of its log.
        TimeoutError: something is not ready in time; the message says what.
    """
    commands = _write_settings(slot, tools)
    for program in ("etcd", "kube-apiserver", "containerd", "docker-registry"):
        machine.order(slot, start=program, command=commands[program])
    _forget_containers(slot, commands["containerd"])
    wait_for_api(slot)
    cluster = Cluster(slot.run / "kubeconfig", tools["kubectl"], slot.registry, programs.REGISTRY)
    cluster.apply(*programs.dns(slot.node_address))
    until(slot, "the registry answers", lambda: registry.answers(slot.registry))
    push_pod_image(slot, tools["pod"])
    for program, command in commands.items():
        machine.order(slot, start=program, command=command)
    status = '--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    ready = ("get", "node", programs.NAME, "--ignore-not-found", status)
    until(slot, "the node is ready", lambda: cluster.kubectl(*ready) == "True")
    until_answered(slot, "a Service is found by its name", tools["pod"], PROOF)
    account = ("get", "serviceaccount", "default", "--ignore-not-found", "--output=name")
    until(slot, "ServiceAccounts are made", lambda: bool(cluster.kubectl(*account)))


def push_pod_image(slot: Slot, program: Path) -> str:
    """Reference for pods of the image of go/pod, which is pushed if it is not there yet."""
    repository, tag = _pod_image(program)
    registry.push(program, slot.registry, repository, tag)
    return f"{programs.REGISTRY}/{repository}:{tag}"


def wait_for_api(slot: Slot) -> None:
    """Return when the API server is ready."""
    authority = slot.run / "pki/ca.crt"
    until(slot, "the API server is ready", lambda: is_ready(slot.api_url, authority))


def until_answered(slot: Slot, what: str, program: Path, url: str) -> None:
    """Wait until a URL answers inside the node, asked by the program of go/pod."""
    ask = [*machine.inside(slot, "--mount"), str(program), "get", url]
    until(slot, what, lambda: not subprocess.run(ask, capture_output=True).returncode)


def until(slot: Slot, what: str, holds: Callable[[], bool]) -> None:
    """Wait, for as long as every program runs."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        for program, code in machine.order(slot).items():
            if code is not None:
                log = slot.run / "logs" / f"{program}.log"
                raise RuntimeError(f"{program} ended with {code}:\n{log.read_text(errors='replace')[-4000:]}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {SECONDS} s; logs in {slot.run / 'logs'}")
        time.sleep(0.1)


def _write_settings(slot: Slot, tools: dict[str, Path]) -> dict[str, list[str]]:
    authority, folder = Authority(slot.run / "pki"), slot.run / "settings"
    keys = Keys(
        authority=authority.certificate,
        server=authority.server("kube-apiserver", HOSTS, ["127.0.0.1", SERVICE_ADDRESS, slot.node_address]),
        service_accounts=authority.service_accounts,
        kubelet_client=authority.client("kube-apiserver-kubelet-client", [ADMIN_GROUP]),
    )
    folder.mkdir()
    write_secret(slot.run / "kubeconfig", authority.kubeconfig(slot.api_url, "admin", [ADMIN_GROUP]))
    for program, (user, groups) in programs.USERS.items():
        write_secret(folder / f"{program}.kubeconfig", authority.kubeconfig(slot.api_url, user, groups))
    sandbox_image = f"{programs.REGISTRY}/{':'.join(_pod_image(tools['pod']))}"
    programs.write_settings(folder, slot, keys, sandbox_image, cache() / "registry")
    commands = programs.commands(folder, slot, keys, tools, slot.run / "etcd")
    (slot.run / "commands.json").write_text(json.dumps(commands))
    return commands


def _forget_containers(slot: Slot, containerd: list[str]) -> None:
    """containerd remembers the containers of an earlier cluster with its images; kubelet would try to end them."""
    ctr = [*machine.inside(slot, "--mount"), "ctr", "--namespace=k8s.io", "containers"]
    listing = [*ctr, "list", "--quiet"]
    until(slot, "containerd answers", lambda: not subprocess.run(listing, capture_output=True).returncode)
    left = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
    if left:
        subprocess.run([*ctr, "delete", *left], check=True, capture_output=True)
        machine.order(slot, stop="containerd")
        machine.order(slot, start="containerd", command=containerd)


def _pod_image(program: Path) -> tuple[str, str]:
    """Repository and tag; the tag is that of the program's sources."""
    return "fastchat-pod", program.parent.name.removeprefix("pod-")
