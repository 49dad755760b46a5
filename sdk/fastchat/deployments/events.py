"""What happens to ModelDeployments, from listings and watches."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from fastchat._kube import response
from fastchat._kube.kind import Object
from fastchat._kube.watch import Lines
from fastchat.deployments.objects import deployment_of
from fastchat.v1alpha1.deployment import ModelDeployment

_TYPES: dict[str, Literal["added", "modified", "deleted"]] = {
    "ADDED": "added",
    "MODIFIED": "modified",
    "DELETED": "deleted",
}


class DeploymentEvent(NamedTuple):
    """A ModelDeployment is there, has changed, or is gone; `deployment` is it as it is now, or last was."""

    type: Literal["added", "modified", "deleted"]
    deployment: ModelDeployment


class Follower:
    """Makes events of listings and of what a watch says; each state of a ModelDeployment is told once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[str, Object]] = {}
        self._lines = Lines()
        self.version = ""
        """From which to watch; empty: there has to be a listing first."""

    def listed(self, page: response.Page) -> Iterator[DeploymentEvent]:
        """What a whole listing changes."""
        there = {_place(thing) for thing in page.things}
        for place in self._known.keys() - there:
            yield DeploymentEvent("deleted", deployment_of(self._known.pop(place)[1]))
        for thing in page.things:
            yield from self._see(thing)
        self.version, self._lines = page.version, Lines()

    def heard(self, piece: bytes) -> Iterator[DeploymentEvent]:
        """What a piece of a watch's response says; raises RelistNeeded where it makes no sense, or ends the watch."""
        for event in self._events(piece):
            self.version = event.version
            if event.type == "DELETED":
                self._known.pop(_place(event.thing), None)
                yield DeploymentEvent("deleted", deployment_of(event.thing))
            elif event.type in _TYPES:
                yield from self._see(event.thing)

    def doubt(self) -> None:
        """What is known may no longer be so: list again."""
        self.version = ""

    def _events(self, piece: bytes) -> Iterable[response.Event]:
        return (response.event(line) for line in self._lines.feed(piece))

    def _see(self, thing: Object) -> Iterator[DeploymentEvent]:
        place, version = _place(thing), thing["metadata"]["resourceVersion"]
        before = self._known.get(place)
        if before is None or before[0] != version:
            self._known[place] = (version, thing)
            yield DeploymentEvent("modified" if before else "added", deployment_of(thing))


def _place(thing: Object) -> tuple[str, str]:
    return thing["metadata"]["namespace"], thing["metadata"]["name"]
