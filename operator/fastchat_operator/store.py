"""What the operator knows of the cluster: the objects as last seen, found by what they belong to."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError

from fastchat._kube.kind import Kind, Object
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import GATEWAY, seniority, worker_name
from fastchat_operator.key import GatewayKey, Key, ModelKey, key_of
from fastchat_operator.kube.kind import DEPLOYMENT, MODEL_DEPLOYMENT, POD, REPLICA_SET, WORKLOADS

logger = logging.getLogger(__name__)


class Store:
    """A copy of the objects that matter, fed by watches and by listing."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = defaultdict(dict)
        self._models: dict[str, dict[str, ModelDeployment]] = defaultdict(dict)
        self._claimants: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._pods: dict[Key, set[str]] = defaultdict(set)

    def model(self, key: ModelKey) -> ModelDeployment | None:
        return self._models.get(key.namespace, {}).get(key.name)

    def models(self, namespace: str) -> Iterable[ModelDeployment]:
        return self._models.get(namespace, {}).values()

    def all_models(self) -> Iterator[ModelDeployment]:
        for models in self._models.values():
            yield from models.values()

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._objects[kind].get((namespace, name))

    def workload(self, key: Key) -> Object | None:
        """What runs the pods of a ModelDeployment, or of a namespace's gateway."""
        if isinstance(key, GatewayKey):
            return self.find(DEPLOYMENT, key.namespace, GATEWAY)
        found = (self.find(kind, key.namespace, worker_name(key.name)) for kind in WORKLOADS)
        return next((there for there in found if there is not None and key_of(there) == key), None)

    def workloads(self) -> Iterator[tuple[Key, Object]]:
        """Those of all models that there are, and of their namespaces' gateways."""
        for namespace, models in self._models.items():
            keys: list[Key] = [*(ModelKey(namespace, name) for name in models), GatewayKey(namespace)]
            for key in keys:
                there = self.workload(key)
                if there is not None and models:
                    yield key, there

    def pods(self, key: Key) -> Sequence[Object]:
        """Pods of a ModelDeployment's workers, or of a namespace's gateway."""
        return [self._objects[POD][key.namespace, name] for name in self._pods.get(key, ())]

    def is_gateways(self, pod: Object) -> bool | None:
        """Whether the namespace's gateway owns a pod, by way of its ReplicaSet; None: that is not known yet.

        Anybody who may make a pod may give it the gateway's labels.
        """
        namespace, owner = pod["metadata"]["namespace"], _controller(pod, "ReplicaSet")
        gateway = self.workload(GatewayKey(namespace))
        if gateway is None or owner is None:
            return False
        between = self.find(REPLICA_SET, namespace, owner["name"])
        if between is None or _uid(between) != owner["uid"]:
            return None
        return (_controller(between, "Deployment") or {}).get("uid") == _uid(gateway)

    def name_conflicts(self, deployment: ModelDeployment) -> list[tuple[str, str]]:
        """Names that a deployment claims and an older one has: (name, name of the older one)."""
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
        """Take in an object as it is now. Returns the keys that it concerns; none where nothing is new."""
        place = _place(thing)
        before = self._objects[kind].get(place)
        if before is not None and _uid(before) == _uid(thing) and _version(thing) <= _version(before):
            return set()  # a write's response has brought this state, or a later one, before the watch did
        thing = _slim(kind, thing)
        if kind == MODEL_DEPLOYMENT:
            self._objects[kind][place] = {"metadata": thing["metadata"]}
            return self._model_seen(thing)
        owner = key_of(thing)
        concerned = self._remove(kind, before) if before and key_of(before) != owner else set()
        self._objects[kind][place] = thing
        if kind == POD and owner:
            self._pods[owner].add(thing["metadata"]["name"])
        return concerned | self._concerned(kind, owner)

    def forget(self, kind: Kind, thing: Object) -> set[Key]:
        """Take out an object that is gone. Returns the keys that this concerns."""
        place = _place(thing)
        before = self._objects[kind].get(place)
        if before is None or _uid(before) != _uid(thing) or _version(thing) < _version(before):
            return set()
        if kind == MODEL_DEPLOYMENT:
            del self._objects[kind][place]
            return self._model_gone(ModelKey(*place))
        return self._remove(kind, before)

    def replace(
        self, kind: Kind, things: Iterable[Object], namespace: str | None, before: Mapping[tuple[str, str], str]
    ) -> set[Key]:
        """Take in a listing. Returns the keys that changes concern.

        `before`: a `snapshot` from before the listing; what is in it and was not listed is gone.
        """
        listed, concerned = set(), set()
        for thing in things:
            place = _place(thing)
            listed.add(place)
            went_meanwhile = place not in self._objects[kind] and before.get(place) == _uid(thing)
            if not went_meanwhile:
                concerned |= self.see(kind, thing)
        for place, uid in before.items():
            there = self._objects[kind].get(place)
            if place not in listed and namespace in (None, place[0]) and there and _uid(there) == uid:
                concerned |= self.forget(kind, there)
        return concerned

    def snapshot(self, kind: Kind) -> dict[tuple[str, str], str]:
        """UIDs of all objects of a kind, by namespace and name."""
        return {place: _uid(thing) for place, thing in self._objects[kind].items()}

    def keys(self) -> Iterator[Key]:
        """Everything there is to reconcile."""
        for namespace, models in self._models.items():
            yield from (ModelKey(namespace, name) for name in models)
        yield from (GatewayKey(namespace) for namespace in self.namespaces())

    def _remove(self, kind: Kind, there: Object) -> set[Key]:
        del self._objects[kind][_place(there)]
        owner = key_of(there)
        if kind == POD and owner:
            self._pods[owner].discard(there["metadata"]["name"])
        return self._concerned(kind, owner)

    def _concerned(self, kind: Kind, owner: Key | None) -> set[Key]:
        """Keys to reconcile when an object has changed: its own, and for a gateway all models, whose status has it."""
        if owner is None:
            return set()
        if isinstance(owner, ModelKey) or kind not in (DEPLOYMENT, POD):
            return {owner}
        return {owner} | {ModelKey(owner.namespace, name) for name in self._models[owner.namespace]}

    def _model_seen(self, thing: Object) -> set[Key]:
        key = ModelKey(*_place(thing))
        try:
            deployment = _parse(thing)
        except ValidationError as error:
            logger.warning("ModelDeployment %s is left alone: this operator does not understand it: %s", key, error)
            return self._model_gone(key)
        affected = self._drop_claims(key)
        self._models[key.namespace][key.name] = deployment
        for name in () if deployment.metadata.deletion_timestamp else deployment.names:
            self._claimants[key.namespace, name].add(key.name)
        return affected | self._rivals(key.namespace, deployment) | {key, GatewayKey(key.namespace)}

    def _model_gone(self, key: ModelKey) -> set[Key]:
        affected = self._drop_claims(key)
        self._models[key.namespace].pop(key.name, None)
        return affected | {key, GatewayKey(key.namespace)}

    def _drop_claims(self, key: ModelKey) -> set[Key]:
        before = self.model(key)
        if before is None:
            return set()
        affected = self._rivals(key.namespace, before)
        for name in before.names:
            self._claimants[key.namespace, name].discard(key.name)
        return affected

    def _rivals(self, namespace: str, deployment: ModelDeployment) -> set[Key]:
        return {ModelKey(namespace, rival) for name in deployment.names for rival in self._claimants[namespace, name]}


def _parse(thing: Object) -> ModelDeployment:
    """The ModelDeployment; without its status where that cannot be read, because another version wrote it.

    Raises:
        ValidationError: The rest of it cannot be read either.
    """
    try:
        return ModelDeployment.parse(thing)
    except ValidationError:
        return ModelDeployment.parse({name: part for name, part in thing.items() if name != "status"})


def _controller(thing: Object, kind: str) -> Object | None:
    """The reference to what controls an object, where it is of this kind."""
    references = thing["metadata"].get("ownerReferences", [])
    return next((each for each in references if each.get("controller") and each["kind"] == kind), None)


def _place(thing: Object) -> tuple[str, str]:
    return thing["metadata"]["namespace"], thing["metadata"]["name"]


def _uid(thing: Object) -> str:
    return str(thing["metadata"]["uid"])


def _version(thing: Object) -> int:
    return int(thing["metadata"]["resourceVersion"])


def _slim(kind: Kind, thing: Object) -> Object:
    """The object without `managedFields`, and of a pod's `spec` only the node: most of it, and never read here."""
    metadata = {name: value for name, value in thing["metadata"].items() if name != "managedFields"}
    spec = {"spec": {"nodeName": thing.get("spec", {}).get("nodeName", "")}} if kind == POD else {}
    return {**thing, "metadata": metadata, **spec}
