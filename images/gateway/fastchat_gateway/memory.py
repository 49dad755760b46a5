"""Memory of large bodies, kept for the next ones."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 * 2**20
_LARGEST_BYTES = 32 * 2**20
"""glibc takes no more for the second."""


def keep_freed() -> None:
    """Have glibc keep up to 64 MiB of what is freed at the end of its heap: each body would fault its pages in anew.

    mallopt(3); other C libraries have no such function, or ignore it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
