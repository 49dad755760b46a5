"""What pods write, of one after another or of several at once as it comes."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fastchat._kube.kind import Kind, Object
from fastchat._kube.watch import Lines
from fastchat.errors import KubernetesError
from fastchat.v1alpha1.names import COMPONENT_LABEL, MODEL_LABEL

POD = Kind("v1", "Pod", "pods")
_LOOK_SECONDS = 2.0
"""How often pods are looked for that came later."""
_LONGEST_PAUSE_SECONDS = 30.0
"""Between two looks at a container that writes nothing new."""
_HELD_LINES = 1000
"""That nobody has read yet; a pod's log is read no faster than its reader."""


class LogLine(NamedTuple):
    """A line of a pod's log, without its line feed."""

    pod: str
    text: str


class Source(NamedTuple):
    """Whose logs are meant: pods by label, and their container."""

    selector: str
    container: str


Read = Callable[[str, bool], Iterator[bytes]]
"""The pieces of a pod's log; whether it is to be followed. Raises KubernetesError."""


def source_of(name: str | None) -> Source:
    """The workers of a ModelDeployment; None: the namespace's gateway."""
    if name is None:
        return Source(f"{COMPONENT_LABEL}=gateway", "gateway")
    return Source(f"{MODEL_LABEL}={name},{COMPONENT_LABEL}=worker", "worker")


def written(pods: Iterable[str], read: Read) -> Iterator[LogLine]:
    """What these pods have written, of one after another.

    Raises:
        KubernetesError: none of them has written anything; why.
    """
    failed: KubernetesError | None = None
    lines = 0
    for pod in pods:
        try:
            for line in _lines(pod, read(pod, False)):
                lines += 1
                yield line
        except KubernetesError as error:
            failed = failed or error
    if failed and not lines:
        raise failed


@dataclass
class Followed:
    """What pods write from now on, also those that come later; ends with the process that reads it."""

    find: Callable[[], Iterable[str]]
    """The pods that there are; raises KubernetesError."""
    read: Read
    _lines: "queue.Queue[LogLine]" = field(default_factory=lambda: queue.Queue(_HELD_LINES))
    _reading: dict[str, threading.Thread] = field(default_factory=dict)

    def __iter__(self) -> Iterator[LogLine]:
        due = 0.0
        while True:
            if time.monotonic() >= due:
                self._look()
                due = time.monotonic() + _LOOK_SECONDS
            try:
                yield self._lines.get(timeout=_LOOK_SECONDS / 4)
            except queue.Empty:
                continue

    def _look(self) -> None:
        for pod in self.find():
            if pod not in self._reading:
                self._reading[pod] = threading.Thread(target=self._follow, args=(pod,), daemon=True)
                self._reading[pod].start()

    def _follow(self, pod: str) -> None:
        """Its container may not have begun yet, and may begin again; what it wrote before is told once."""
        last, pause = "", _LOOK_SECONDS
        while True:
            try:
                for line in _lines(pod, self.read(pod, True)):
                    at, _, text = line.text.partition(" ")
                    if at > last:
                        last, pause = at, _LOOK_SECONDS
                        self._lines.put(LogLine(pod, text))
            except KubernetesError as error:
                if error.status_code == 404:
                    return  # it is gone
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def names(pods: Iterable[Object]) -> list[str]:
    """Their names, the oldest first."""
    ordered = sorted(pods, key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]))
    return [pod["metadata"]["name"] for pod in ordered]


def _lines(pod: str, pieces: Iterator[bytes]) -> Iterator[LogLine]:
    cut = Lines()
    for piece in pieces:
        yield from (LogLine(pod, line.decode(errors="replace")) for line in cut.feed(piece))
    yield from (LogLine(pod, line.decode(errors="replace")) for line in cut.feed(b"\n") if line)
