"""The host names of requests that reach a loopback address."""

import ipaddress
import socket

_NAMES = ("localhost", "127.0.0.1", "[::1]")


def own_hosts(host: str) -> list[str]:
    """The host names to allow in requests to a server on `host`; empty (no check) where `host` is not loopback.

    A web page can resolve a name of its own to this machine (DNS rebinding), and its scripts then reach what listens on
    loopback. Their requests carry that name as their host, so other names are refused.
    """
    if not _is_loopback(host):
        return []
    return list(dict.fromkeys([*_NAMES, f"[{host}]" if ":" in host else host.lower()]))


def _is_loopback(host: str) -> bool:
    if not host:
        return False  # listens on all addresses
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False  # not an address that can be listened on
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
