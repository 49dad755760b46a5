"""FastChat on Kubernetes: the client for users and the types that its parts share."""

__version__: str


def __getattr__(name: str) -> object:
    """`__version__`, when it is asked for: to find it out takes longer than all else that a command does first."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("fastchat-k8s")
