"""What is read of Kubernetes' objects, and what the catalog is told of them. Pure.

EndpointSlice: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pydantic import ValidationError

from fastchat._kube.kind import Kind, Object
from fastchat._kube.watch import Selection
from fastchat.v1alpha1.deployment import GROUP, VERSION, ModelDeployment
from fastchat.v1alpha1.model import Adapter
from fastchat.v1alpha1.names import GATEWAY, MODEL_LABEL, claims
from fastchat.v1alpha1.status import Status
from fastchat_gateway.routing.catalog import EndpointRecord, ModelRecord, QueueLimits

_MODEL_DEPLOYMENT = Kind(f"{GROUP}/{VERSION}", "ModelDeployment", "modeldeployments")
_ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
_ADVICE = {
    401: "the gateway's credentials are not accepted",
    403: "the Role of the gateway's ServiceAccount must allow get, list and watch",
    404: "its CRD is not installed: it comes with FastChat's Helm chart",
}


def model_deployments(namespace: str) -> Selection:
    return Selection(_MODEL_DEPLOYMENT, namespace, advice=_ADVICE)


def worker_slices(namespace: str) -> Selection:
    """The EndpointSlices of all workers' Services."""
    return Selection(_ENDPOINT_SLICE, namespace, MODEL_LABEL, _ADVICE)


def gateway_slices(namespace: str) -> Selection:
    """The EndpointSlices of the gateways' Service."""
    return Selection(_ENDPOINT_SLICE, namespace, f"kubernetes.io/service-name={GATEWAY}", _ADVICE)


class UnreadableError(ValueError):
    """The object is not as its kind is known here, perhaps of another version; says in one line why."""


# --------------------------------------------------------------------------------------------------------------------
# ModelDeployments
# --------------------------------------------------------------------------------------------------------------------


class _Metadata(msgspec.Struct, rename="camel", omit_defaults=True):
    name: str
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class _ModelDeployment(msgspec.Struct, rename="camel"):
    metadata: _Metadata
    spec: dict[str, object]
    status: dict[str, object] | None = None


def read_model_deployment(thing: Object) -> ModelDeployment:
    """What the gateway uses of a ModelDeployment; fields that a newer version has added are passed over.

    Raises UnreadableError.
    """
    try:
        read = msgspec.convert(thing, type=_ModelDeployment)
        known = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ModelDeployment", "spec": read.spec}
        known["metadata"] = msgspec.to_builtins(read.metadata)
        deployment = ModelDeployment.model_validate(known, by_alias=True, by_name=False, extra="ignore")
        return deployment.model_copy(update={"status": _status(read.status)})
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors())
        raise UnreadableError("; ".join(reasons)) from error
    except msgspec.ValidationError as error:
        raise UnreadableError(str(error)) from error


def _status(told: dict[str, object] | None) -> Status | None:
    """It is only shown: one that makes no sense takes nothing away from what is served."""
    try:
        return None if told is None else Status.model_validate(told, by_alias=True, by_name=False, extra="ignore")
    except ValidationError:
        return None


# --------------------------------------------------------------------------------------------------------------------
# EndpointSlices
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slice:
    """Some of the workers of one ModelDeployment."""

    model_deployment: str
    endpoints: tuple[EndpointRecord, ...]


class _Conditions(msgspec.Struct):
    ready: bool | None = None
    terminating: bool | None = None


class _TargetRef(msgspec.Struct):
    uid: str = ""


class _Endpoint(msgspec.Struct, rename="camel"):
    addresses: list[str]
    conditions: _Conditions = msgspec.field(default_factory=_Conditions)
    target_ref: _TargetRef | None = None


class _Port(msgspec.Struct):
    name: str | None = None
    port: int | None = None


class _SliceMetadata(msgspec.Struct):
    labels: dict[str, str]


class _EndpointSlice(msgspec.Struct, rename="camel"):
    metadata: _SliceMetadata
    address_type: str
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


def read_endpoint_slice(thing: Object) -> Slice:
    """The workers that an EndpointSlice names; raises UnreadableError."""
    try:
        read = msgspec.convert(thing, type=_EndpointSlice)
    except msgspec.ValidationError as error:
        raise UnreadableError(str(error)) from error
    model_deployment = read.metadata.labels.get(MODEL_LABEL, "")
    port = _port(read.ports or [])
    if port is None:
        return Slice(model_deployment, ())
    host = "[{}]" if read.address_type == "IPv6" else "{}"
    return Slice(
        model_deployment,
        tuple(_endpoint(each, f"http://{host.format(each.addresses[0])}:{port}") for each in read.endpoints or []),
    )


def _port(ports: Sequence[_Port]) -> int | None:
    """The number of the port named http, else of the first."""
    named = [port for port in ports if port.name == "http"]
    return next((port.port for port in named or ports), None)


def _endpoint(endpoint: _Endpoint, url: str) -> EndpointRecord:
    """Of the conditions an absent `ready` means yes, an absent `terminating` no."""
    conditions = endpoint.conditions
    return EndpointRecord(
        url,
        ready=conditions.ready is not False and not conditions.terminating,
        uid=endpoint.target_ref.uid if endpoint.target_ref else "",
    )


def gateways(slices: Iterable[Slice]) -> int:
    """How many gateway pods are ready, this one included: pods, not addresses."""
    return max(1, len({each.uid or each.url for part in slices for each in part.endpoints if each.ready}))


# --------------------------------------------------------------------------------------------------------------------
# The catalog's records
# --------------------------------------------------------------------------------------------------------------------


def records(
    deployments: Iterable[ModelDeployment], slices: Iterable[Slice], lengths: Mapping[str, int]
) -> dict[str, ModelRecord]:
    """ModelDeployment's name → what is served of it. One that is being deleted, or claims no name, serves nothing.

    `lengths`: ModelDeployment's name → its model's context length, where that is known.
    """
    names: defaultdict[str, list[str]] = defaultdict(list)
    known = {each.metadata.name: each for each in deployments}
    for name, claimant in claims(known.values()).items():
        if not _adapter(claimant, name):
            names[claimant.metadata.name].append(name)
    workers = _workers(slices)
    return {key: _record(known[key], names[key], workers[key].values(), lengths.get(key)) for key in names}


def adapter_records(deployments: Iterable[ModelDeployment], models: Mapping[str, ModelRecord]) -> list[ModelRecord]:
    """Of each adapter, which is a model of its own on the workers of the one that it adapts.

    `models`: ModelDeployment's name → what is served of it.
    """
    found = []
    for name, claimant in claims(deployments).items():
        adapter, base = _adapter(claimant, name), models.get(claimant.metadata.name)
        if adapter and base:
            found.append(replace(base, name=name, names=(name,), root=str(adapter.source), parent=base.name))
    return found


def _adapter(deployment: ModelDeployment, name: str) -> Adapter | None:
    return next((adapter for adapter in deployment.spec.model.adapters if adapter.name == name), None)


def _workers(slices: Iterable[Slice]) -> defaultdict[str, dict[str, EndpointRecord]]:
    """ModelDeployment's name → its workers, each once: a pod may be in several slices, and have two addresses."""
    found: defaultdict[str, dict[str, EndpointRecord]] = defaultdict(dict)
    for part in slices:
        workers = found[part.model_deployment]
        for endpoint in part.endpoints:
            key = endpoint.uid or endpoint.url
            workers[key] = min(endpoint, workers.get(key, endpoint), key=lambda each: (not each.ready, each.url))
    return found


def _record(
    deployment: ModelDeployment, names: Sequence[str], endpoints: Iterable[EndpointRecord], length: int | None
) -> ModelRecord:
    spec, created = deployment.spec, deployment.metadata.creation_timestamp
    return ModelRecord(
        name=deployment.name,
        names=tuple(names),
        endpoints=tuple(endpoints),
        replicas=spec.replicas,
        task=spec.model.task,
        max_model_len=length,
        root=str(spec.model.source),
        created=int(created.timestamp()) if created else 0,
        queue=QueueLimits(spec.queue.max_requests, spec.queue.timeout_seconds),
        load_balancing=spec.load_balancing,
        replaced_in_place=spec.surge == 0,
        status=_shown(deployment.status),
    )


def _shown(status: Status | None) -> Mapping[str, Any] | None:
    if status is None:
        return None
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, include={"conditions", "progress"})
