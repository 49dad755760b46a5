"""TCP ports of this machine."""

import socket

from cluster.control_plane.apiserver import free_ports


def free_port() -> int:
    """A port that nobody listens on, and that the kernel gives to no client meanwhile."""
    return free_ports(1)[0]


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
