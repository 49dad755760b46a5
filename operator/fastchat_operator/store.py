"""What the operator knows of the cluster: the objects as last seen, found by what they belong to."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from fastchat.deployment import ModelDeployment
from fastchat.naming import COMPONENT_LABEL, GATEWAY, MODEL_LABEL, seniority, worker_name
from fastchat_operator.kind import DEPLOYMENT, MODEL_DEPLOYMENT, POD, Kind, Object

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """What is reconciled in one piece: a ModelDeployment, or with no name the gateway of a namespace."""

    namespace: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name or GATEWAY}"


class Store:
    """A copy of the objects that matter, fed by watches and by listing."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = defaultdict(dict)
        self._models: dict[str, dict[str, ModelDeployment]] = defaultdict(dict)
        self._claimants: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._pods: dict[Key, set[str]] = defaultdict(set)

    def model(self, key: Key) -> ModelDeployment | None:
        return self._models.get(key.namespace, {}).get(key.name)

    def models(self, namespace: str) -> Iterable[ModelDeployment]:
        return self._models.get(namespace, {}).values()

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._objects[kind].get((namespace, name))

    def workers(self, key: Key) -> Object | None:
        return self.find(DEPLOYMENT, key.namespace, worker_name(key.name))

    def gateway(self, namespace: str) -> Object | None:
        return self.find(DEPLOYMENT, namespace, GATEWAY)

    def pods(self, key: Key) -> Sequence[Object]:
        return [self._objects[POD][key.namespace, name] for name in self._pods.get(key, ())]

    def taken(self, deployment: ModelDeployment) -> list[tuple[str, str]]:
        """Names that a deployment claims and an older one has: (name, that one)."""
        namespace = deployment.metadata.namespace or ""
        models = self._models[namespace]
        oldest = [
            (name, min((models[each] for each in self._claimants[namespace, name]), key=seniority))
            for name in deployment.names
        ]
        return [
            (name, holder.metadata.name) for name, holder in oldest if holder.metadata.uid != deployment.metadata.uid
        ]

    def namespaces(self) -> set[str]:
        """Namespaces in which there is anything of ours."""
        return {namespace for objects in self._objects.values() for namespace, _ in objects}

    def see(self, kind: Kind, thing: Object) -> set[Key]:
        """Take in an object as it is now; what it concerns."""
        place = _place(thing)
        before = self._objects[kind].get(place)
        if before is not None and _older(thing, before):
            return set()
        thing = _slim(thing)
        if kind == MODEL_DEPLOYMENT:
            self._objects[kind][place] = {"metadata": thing["metadata"]}
            return self._model_seen(thing)
        self._objects[kind][place] = thing
        return self._concerned(kind, thing, gone=False)

    def forget(self, kind: Kind, thing: Object) -> set[Key]:
        """Take out an object that is gone; what that concerns."""
        place = _place(thing)
        before = self._objects[kind].get(place)
        if before is None or before["metadata"]["uid"] != thing["metadata"]["uid"]:
            return set()
        del self._objects[kind][place]
        return self._model_gone(Key(*place)) if kind == MODEL_DEPLOYMENT else self._concerned(kind, thing, gone=True)

    def replace(
        self, kind: Kind, things: Iterable[Object], namespace: str | None, before: Mapping[tuple[str, str], str]
    ) -> set[Key]:
        """Take in a listing; what was there `before` it (a `snapshot`) and is not in it is gone. What that concerns."""
        listed, concerned = set(), set()
        for thing in things:
            listed.add(_place(thing))
            concerned |= self.see(kind, thing)
        for place, uid in before.items():
            there = self._objects[kind].get(place)
            if place not in listed and namespace in (None, place[0]) and there and there["metadata"]["uid"] == uid:
                concerned |= self.forget(kind, there)
        return concerned

    def snapshot(self, kind: Kind) -> dict[tuple[str, str], str]:
        return {place: thing["metadata"]["uid"] for place, thing in self._objects[kind].items()}

    def keys(self) -> Iterator[Key]:
        """Everything there is to reconcile."""
        for namespace, models in self._models.items():
            yield from (Key(namespace, name) for name in models)
        yield from (Key(namespace) for namespace in self.namespaces())

    def _concerned(self, kind: Kind, thing: Object, *, gone: bool) -> set[Key]:
        labels = thing["metadata"].get("labels", {})
        namespace, name = thing["metadata"]["namespace"], labels.get(MODEL_LABEL)
        if name:
            key = Key(namespace, name)
            if kind == POD:
                self._place_pod(key, thing, gone=gone)
            return {key}
        if labels.get(COMPONENT_LABEL) == "gateway":
            each = {Key(namespace, name) for name in self._models[namespace]} if kind == DEPLOYMENT else set()
            return {Key(namespace)} | each
        return set()

    def _place_pod(self, key: Key, pod: Object, *, gone: bool) -> None:
        if gone:
            self._pods[key].discard(pod["metadata"]["name"])
        else:
            self._pods[key].add(pod["metadata"]["name"])

    def _model_seen(self, thing: Object) -> set[Key]:
        key = Key(*_place(thing))
        try:
            deployment = ModelDeployment.parse(thing)
        except ValidationError as error:
            log.warning("ModelDeployment %s is left alone: this operator does not understand it: %s", key, error)
            return self._model_gone(key)
        affected = self._drop_claims(key)
        self._models[key.namespace][key.name] = deployment
        for name in deployment.names:
            self._claimants[key.namespace, name].add(key.name)
        return affected | self._rivals(key.namespace, deployment) | {key, Key(key.namespace)}

    def _model_gone(self, key: Key) -> set[Key]:
        affected = self._drop_claims(key)
        self._models[key.namespace].pop(key.name, None)
        return affected | {key, Key(key.namespace)}

    def _drop_claims(self, key: Key) -> set[Key]:
        before = self.model(key)
        if before is None:
            return set()
        affected = self._rivals(key.namespace, before)
        for name in before.names:
            self._claimants[key.namespace, name].discard(key.name)
        return affected

    def _rivals(self, namespace: str, deployment: ModelDeployment) -> set[Key]:
        return {Key(namespace, rival) for name in deployment.names for rival in self._claimants[namespace, name]}


def _place(thing: Object) -> tuple[str, str]:
    return thing["metadata"]["namespace"], thing["metadata"]["name"]


def _older(thing: Object, than: Object) -> bool:
    """Whether a watch brings an object as it was before a write whose answer is known already."""
    mine, other = thing["metadata"], than["metadata"]
    return mine.get("uid") == other.get("uid") and int(mine["resourceVersion"]) < int(other["resourceVersion"])


def _slim(thing: Object) -> Object:
    """Without what nobody reads here and what is half of an object."""
    metadata = {name: value for name, value in thing["metadata"].items() if name != "managedFields"}
    return {**thing, "metadata": metadata}
