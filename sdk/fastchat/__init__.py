"""FastChat on Kubernetes: the client for users and the types that its parts share."""

TYPE_CHECKING = False  # type checkers take it for True; typing's own would be imported before Ctrl-C is quiet
if TYPE_CHECKING:
    from fastchat.client import AsyncClient, Client

__version__: str
__all__ = ["AsyncClient", "Client", "__version__"]


def __getattr__(name: str) -> object:
    """The public names, each imported at its first use: a command that needs none of them starts sooner."""
    if name == "__version__":
        from fastchat._runtime.version import version

        return version()
    if name in __all__:
        from fastchat import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
