"""Where the catalog's entries come from. One seam, two implementations: static, and the Kubernetes API."""

from dataclasses import dataclass
from typing import Protocol, Self


@dataclass(frozen=True)
class Contact:
    """Whether discovery reaches what it learns from."""

    connected: bool
    seconds: float
    """Since it was last heard of."""


class Discovery(Protocol):
    """An async context that keeps a catalog up to date.

    It calls `Catalog.update` with the whole state on every change, and `Catalog.confirm` whenever it has itself just
    seen a worker ready: without that, a request whose workers all failed once waits for nothing.
    """

    @property
    def ready(self) -> bool:
        """The catalog holds a first state."""
        ...

    @property
    def contact(self) -> Contact | None:
        """None where no one but the workers is asked."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...
