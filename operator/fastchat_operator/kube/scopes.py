"""The namespaces that the operator acts in: each is listed, fails and recovers by itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastchat._kube.errors import ApiError

ALL = "all namespaces"


@dataclass
class Scope:
    """One namespace, or with None all of them."""

    namespace: str | None
    known: bool = False
    """Everything in it has been listed, and no right to do so was taken away since: it may be acted on."""
    trouble: str = "not listed yet"
    """Why the last listing failed; empty: it did not."""
    failures: int = 0

    def __str__(self) -> str:
        return self.namespace or ALL

    def listed(self) -> None:
        self.known, self.trouble, self.failures = True, "", 0

    def failed(self, error: ApiError) -> None:
        """What was known still holds where the API server is only away; where it refuses, there is nothing to do."""
        self.known = self.known and not error.final
        self.trouble, self.failures = str(error), self.failures + 1


class Scopes:
    """All of them, of an operator that acts.

    Attributes:
        trouble: what keeps the operator from acting anywhere; empty: nothing does.
        leads: whether this operator acts at all, or waits for the one that does.
    """

    def __init__(self, namespaces: Sequence[str]) -> None:
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._all: list[Scope] = []
        self.trouble = ""
        self.leads = False

    @contextmanager
    def leading(self) -> Iterator[None]:
        """While it acts; nothing is known at first."""
        self._all = [Scope(each) for each in self._namespaces]
        self.leads = True
        try:
            yield
        finally:
            self._all, self.leads, self.trouble = [], False, ""

    def __iter__(self) -> Iterator[Scope]:
        return iter(self._all)

    def know(self, namespace: str) -> bool:
        """Whether a namespace may be acted on."""
        return any(each.known for each in self._all if each.namespace in (None, namespace))

    @property
    def lost(self) -> dict[str, str]:
        """Those that could not be listed, and why."""
        return {str(each): each.trouble for each in self._all if each.trouble}

    @property
    def ready(self) -> bool:
        """Not where nothing can be done anywhere; what ails one namespace is no matter of the others."""
        return not self.leads or (not self.trouble and len(self.lost) < len(self._all))

    def report(self) -> dict[str, Any]:
        """For people: what it does, and what it cannot do and why."""
        doing = "acting" if self.leads else "waiting for the Lease"
        trouble = {"trouble": self.trouble} if self.trouble else {}
        return {"status": doing if self.ready else "not ready", **trouble, "lost": self.lost}
