"""Open files: as many as may be, and how many connections of clients they are enough for."""

import errno
import resource

_OWN = 64
"""For listening, logs, keys, discovery, the Kubernetes API, probes of workers."""
_NO_LIMIT = 2**20


def allow_most() -> None:
    """Raise this process's limit as far as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def connections() -> int:
    """How many clients may be connected, so that each has a descriptor for a worker as well."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections_for(_NO_LIMIT if limit == resource.RLIM_INFINITY else limit)


def connections_for(limit: int) -> int:
    """With so many open files."""
    return max(1, (limit - _OWN) // 2)


def lacking(error: BaseException) -> bool:
    """This process, or this machine, has no descriptor left: nobody else's fault."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
