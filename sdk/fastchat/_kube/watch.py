"""What is to be followed, what becomes of its listing and the events after it, and when to try again. Pure."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fastchat._kube.errors import RelistNeeded
from fastchat._kube.kind import Kind, Object
from fastchat._kube.response import Event

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
STEADY_SECONDS = 10.0
"""What has held this long was no failure of the same kind as the next."""

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """What is listed and watched."""

    kind: Kind
    namespace: str | None
    selector: str = ""
    """By label; empty: all."""
    advice: Mapping[int, str] = field(default_factory=dict)
    """Status of a refusal → what to do about it."""

    def __str__(self) -> str:
        return f"{self.kind} of {self.selector}" if "=" in self.selector else str(self.kind)


class Lines:
    """Cuts what arrives in pieces into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, part: bytes) -> Sequence[bytes]:
        """The lines that this part ends."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        return lines


class Mirror(Generic[T]):
    """The objects of one kind in one namespace, by name, as they were told last.

    `read` makes of an object what is kept of it; None: nothing. An object whose resourceVersion is known is not read
    again: two states of one object never have the same, nor has one that was made anew under its name.
    """

    def __init__(self, read: Callable[[Object], T | None]) -> None:
        self._read = read
        self._objects: dict[str, tuple[str, T | None]] = {}

    def __len__(self) -> int:
        """Also of objects of which nothing is kept."""
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return (kept for _, kept in self._objects.values() if kept is not None)

    def get(self, name: str) -> T | None:
        return self._objects.get(name, ("", None))[1]

    def replace(self, things: Sequence[Object]) -> None:
        """Take in a whole listing; what is not in it is gone. Raises RelistNeeded where it makes no sense."""
        try:
            self._objects = {thing["metadata"]["name"]: self._entry(thing) for thing in things}
        except (KeyError, TypeError) as error:
            raise RelistNeeded(f"the API server listed what is no object: {error!r}") from error

    def apply(self, event: Event) -> None:
        """Take in an event; raises RelistNeeded for one of an unknown type."""
        name = event.thing["metadata"].get("name", "")
        if event.type in ("ADDED", "MODIFIED"):
            self._objects[name] = self._entry(event.thing)
        elif event.type == "DELETED":
            self._objects.pop(name, None)
        elif event.type != "BOOKMARK":
            raise RelistNeeded(f"the watch told of an unknown event {event.type!r}")

    def _entry(self, thing: Object) -> tuple[str, T | None]:
        metadata = thing["metadata"]
        name, version = metadata["name"], metadata["resourceVersion"]
        known = self._objects.get(name)
        return known if known is not None and known[0] == version else (version, self._read(thing))


class Backoff:
    """Pauses between tries: twice as long each time, from the first one again after something that held."""

    def __init__(self, jitter: Callable[[], float] = lambda: random.uniform(0.5, 1)) -> None:  # noqa: S311
        self._jitter = jitter
        self._pause = FIRST_PAUSE_SECONDS

    def after(self, held_seconds: float) -> float:
        """Seconds to wait after a try that held for so long."""
        steady = held_seconds > STEADY_SECONDS
        self._pause = FIRST_PAUSE_SECONDS if steady else min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return self._pause * self._jitter()
