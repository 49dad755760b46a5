"""What is reconciled in one piece, and queued and remembered by: a ModelDeployment, or a namespace's gateway."""

from dataclasses import dataclass

from fastchat._kube.kind import Object
from fastchat.v1alpha1.names import COMPONENT_LABEL, GATEWAY, MODEL_LABEL


@dataclass(frozen=True)
class ModelKey:
    """A ModelDeployment with its workers."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class GatewayKey:
    """The gateway of a namespace."""

    namespace: str

    def __str__(self) -> str:
        return f"{self.namespace}/{GATEWAY}"


Key = ModelKey | GatewayKey


def key_of(thing: Object) -> Key | None:
    """The key that an object is reconciled under, by its labels; None: it is not one of ours."""
    namespace, labels = thing["metadata"]["namespace"], thing["metadata"].get("labels", {})
    if labels.get(MODEL_LABEL):
        return ModelKey(namespace, labels[MODEL_LABEL])
    return GatewayKey(namespace) if labels.get(COMPONENT_LABEL) == "gateway" else None
