"""The node's programs: their settings and command lines."""

import json
from pathlib import Path
from typing import Any

import yaml

from cluster.control_plane import audit
from cluster.control_plane import commands as control_plane
from cluster.control_plane.commands import Keys
from cluster.node.slot import Slot

NAME = "fastchat"
POD_CIDR = "10.244.0.0/16"
POD_GATEWAY = "10.244.0.1"  # what pods see the node's programs, such as kubelet, come from
DNS_ADDRESS = "10.96.0.10"
DOMAIN = "cluster.local"
REGISTRY = "localhost:5000"  # what pods' images are named after

# The users that the programs are to the API server, and their groups.
USERS = {
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kubelet": (f"system:node:{NAME}", ("system:nodes",)),
    "kube-proxy": ("system:kube-proxy", ()),
    "coredns": ("system:coredns", ("system:masters",)),  # no role of Kubernetes' own is made for it
}


def write_settings(folder: Path, slot: Slot, keys: Keys, sandbox_image: str, storage: Path) -> None:
    """Write the files that `commands` names into an empty folder, which has the programs' kubeconfigs already."""
    (folder / "audit").mkdir()
    (folder / "audit/policy.json").write_text(json.dumps(audit.POLICY))
    cni(folder).parent.mkdir()
    cni(folder).write_text(json.dumps(CNI))
    (folder / "containerd.toml").write_text(_containerd(sandbox_image, cni(folder).parent))
    (folder / "registry.yaml").write_text(yaml.safe_dump(_registry(storage)))
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(keys.authority, slot.cgroup)))
    (folder / "kube-proxy.yaml").write_text(yaml.safe_dump(_kube_proxy(folder / "kube-proxy.kubeconfig")))
    (folder / "Corefile").write_text(_corefile(folder / "coredns.kubeconfig"))


def commands(folder: Path, slot: Slot, keys: Keys, tools: dict[str, Path], data: Path) -> dict[str, list[str]]:
    """Program → command line, in the order in which they are started."""
    api = control_plane.kube_apiserver(tools["kube-apiserver"], keys, 2379, slot.node_address, 6443, folder / "audit")
    controllers, scheduler = tools["kube-controller-manager"], tools["kube-scheduler"]
    kubelet = [str(tools["kubelet"]), f"--config={folder}/kubelet.yaml", f"--kubeconfig={folder}/kubelet.kubeconfig"]
    return {
        "etcd": control_plane.etcd(tools["etcd"], data, 2379, 2380),
        "kube-apiserver": api,
        "containerd": ["containerd", f"--config={folder}/containerd.toml"],
        "docker-registry": ["docker-registry", "serve", f"{folder}/registry.yaml"],
        "kube-controller-manager": control_plane.kube_controller_manager(
            controllers, keys, folder / "kube-controller-manager.kubeconfig"
        ),
        "kube-scheduler": control_plane.kube_scheduler(scheduler, folder / "kube-scheduler.kubeconfig"),
        "kubelet": [*kubelet, f"--hostname-override={NAME}", f"--node-ip={slot.node_address}"],
        "kube-proxy": [str(tools["kube-proxy"]), f"--config={folder}/kube-proxy.yaml"],
        "coredns": [str(tools["coredns"]), f"-conf={folder}/Corefile"],
    }


def cni(folder: Path) -> Path:
    """File that says which plugins make pods' networks."""
    return folder / "cni/pods.conflist"


# Every pod on a cable of its own, so that all traffic is routed: kube-proxy sees it, with or without br_netfilter.
CNI: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_CIDR}]], "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}


def _containerd(sandbox_image: str, cni: Path) -> str:
    return f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    discard_unpacked_layers = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."{REGISTRY}"]
    endpoint = ["http://{REGISTRY}"]
"""


def _registry(storage: Path) -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
        "http": {"addr": ":5000"},
    }


def _kubelet(authority: Path, cgroup: str) -> dict[str, Any]:
    """Pods stay until a test ends them, whatever else fills this machine's disk and memory."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": DOMAIN,
        "resolvConf": "",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "maxPods": 250,
        "serializeImagePulls": False,
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": False,
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
    }


def _kube_proxy(kubeconfig: Path) -> dict[str, Any]:
    """The limits of connection tracking are the whole machine's, and left alone."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "nftables",
        "hostnameOverride": NAME,
        "clusterCIDR": POD_CIDR,
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _corefile(kubeconfig: Path) -> str:
    return f""".:53 {{
    errors
    health
    ready
    cache 5
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
}}
"""


def dns(address: str) -> list[dict[str, Any]]:
    """The Service that pods ask for names, with a process of the node as its endpoint."""
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "ready", "port": 8181, "protocol": "TCP"},
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": DNS_ADDRESS, "ports": ports},
    }
    labels = {"kubernetes.io/service-name": "kube-dns"}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns-node", "namespace": "kube-system", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    return [service, endpoints]
