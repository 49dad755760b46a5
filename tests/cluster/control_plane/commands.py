"""Command lines of the control plane: what they say holds for an API server alone and for the whole cluster."""

from dataclasses import dataclass
from pathlib import Path

from cluster.control_plane.pki import Pair

SERVICE_CIDR = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
HOSTS = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class Keys:
    """What the API server proves itself with, and what it believes."""

    authority: Path
    server: Pair
    service_accounts: Pair
    kubelet_client: Pair | None = None


def etcd(binary: Path, data: Path, port: int, peer_port: int) -> list[str]:
    """An etcd that is quick because it may lose its data with the machine."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(binary),
        f"--data-dir={data}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def kube_apiserver(binary: Path, keys: Keys, etcd_port: int, address: str, port: int, audit: Path) -> list[str]:
    """Default admission plugins, RBAC, tokens of service accounts; `audit` is a folder with policy.json."""
    command = [
        str(binary),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={port}",
        f"--tls-cert-file={keys.server.certificate}",
        f"--tls-private-key-file={keys.server.key}",
        f"--client-ca-file={keys.authority}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys.service_accounts.certificate}",
        f"--service-account-signing-key-file={keys.service_accounts.key}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--audit-policy-file={audit / 'policy.json'}",
        f"--audit-log-path={audit / 'log'}",
    ]
    if keys.kubelet_client:
        command += [
            f"--kubelet-client-certificate={keys.kubelet_client.certificate}",
            f"--kubelet-client-key={keys.kubelet_client.key}",
            "--kubelet-preferred-address-types=InternalIP",
        ]
    return command


def kube_controller_manager(binary: Path, keys: Keys, kubeconfig: Path) -> list[str]:
    """All of the default controllers, each with the rights of its own ServiceAccount."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--root-ca-file={keys.authority}",
        f"--service-account-private-key-file={keys.service_accounts.key}",
        "--use-service-account-credentials",
        "--pvclaimbinder-sync-period=1s",
        "--authentication-skip-lookup",
        "--leader-elect=false",
    ]


def kube_scheduler(binary: Path, kubeconfig: Path) -> list[str]:
    """The default scheduler."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--authentication-skip-lookup",
        "--leader-elect=false",
    ]
