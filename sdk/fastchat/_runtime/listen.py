"""The socket that a part serves on."""

import os
import socket

_BACKLOG = 2048
"""Connections that wait to be accepted."""


class ListenError(Exception):
    """Nothing can listen there; the message says where and why."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one, an empty host every address.

    Of a name with addresses of both kinds it takes an IPv4 one, for clients that try no other.

    Raises: ListenError.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {_reason(error)}") from None


def url_of(listener: socket.socket) -> str:
    """The http URL of the address that it listens on."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reason(error: OSError) -> str:
    """In the system's words alone: `create_server` adds the address, which the message has."""
    of_name = error.strerror if isinstance(error, socket.gaierror) else None
    return of_name or os.strerror(error.errno or 0)
