"""Which release this is."""

import functools


@functools.cache
def version() -> str:
    """The version of the installed distribution. Found out when needed: it takes longer than a command's start."""
    from importlib import metadata

    return metadata.version("fastchat-k8s")
