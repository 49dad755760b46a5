"""Names of this machine for itself."""

import ipaddress
import socket

_NAMES = ("localhost", "127.0.0.1", "[::1]")


def own_hosts(host: str) -> list[str]:
    """What requests may name as their host where `host` is listened on and only this machine reaches it; else none.

    A web page can give a name of its own this machine's address (DNS rebinding) and so ask what listens here as if it
    came from there; the name is how it is known.
    """
    if not _is_loopback(host):
        return []
    return list(dict.fromkeys([*_NAMES, f"[{host}]" if ":" in host else host.lower()]))


def _is_loopback(host: str) -> bool:
    if not host:
        return False  # everything is listened on
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False  # nothing is
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
