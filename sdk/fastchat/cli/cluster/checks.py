"""What `fastchat doctor` looks at. Each check is a function of the cluster; none changes anything there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from fastchat._kube import request
from fastchat._kube.kind import Kind, Object
from fastchat._kube.request import Request
from fastchat.deployments import Deployments, ModelDeployment
from fastchat.deployments.readiness import condition, trouble
from fastchat.errors import KubernetesError
from fastchat.v1alpha1.crd import PLURAL, definition
from fastchat.v1alpha1.deployment import GROUP, VERSION
from fastchat.v1alpha1.names import GATEWAY

State = Literal["ok", "unknown", "wrong"]
_CHART = "install FastChat's Helm chart (docs/install.md)"
_FORBIDDEN = (401, 403)
_MISSING = 404
_DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
_NODE = Kind("v1", "Node", "nodes")
_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
_CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
_REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews")
_OPERATOR = "app.kubernetes.io/name=fastchat-operator,app.kubernetes.io/component=operator"
_VERBS = ("get", "list", "watch", "create", "patch", "delete")


class Finding(NamedTuple):
    """What a check has found. `unknown`: one may not look, or it cannot be told."""

    what: str
    state: State
    words: str
    remedy: str = ""


class Unseen(NamedTuple):
    """Why something could not be looked at; `status` is HTTP's."""

    status: int
    words: str


Check = Callable[[Deployments], Iterator[Finding]]


def look(there: Deployments, wanted: Request) -> dict[str, Any] | Unseen:
    try:
        return there.send(wanted)
    except KubernetesError as error:
        return Unseen(error.status_code, error.message)


def _not_seen(what: str, unseen: Unseen) -> Finding:
    return Finding(what, "unknown" if unseen.status in _FORBIDDEN else "wrong", unseen.words)


def cluster(there: Deployments) -> Iterator[Finding]:
    """Raises KubernetesError where it is not reached: nothing else can be looked at."""
    version = there.send(Request("GET", "/version"))
    yield Finding("cluster", "ok", f"Kubernetes {version.get('gitVersion', '')}, namespace {there.namespace}")


def resource(there: Deployments) -> Iterator[Finding]:
    """The CRD, and whether it knows all that this release does."""
    served = look(there, Request("GET", f"/apis/{GROUP}/{VERSION}"))
    if isinstance(served, Unseen):
        missing = served.status == _MISSING
        words = "this cluster knows no ModelDeployments"
        yield Finding("CRD", "wrong", words, _CHART) if missing else _not_seen("CRD", served)
        return
    lacking = _lacking_fields(look(there, request.get(_CRD, None, f"{PLURAL}.{GROUP}")))
    if lacking:
        words = f"it is older than this command and lacks {', '.join(lacking[:3])}"
        yield Finding("CRD", "wrong", words, "apply crds/modeldeployments.fastchat.io.yaml of this release")
    else:
        yield Finding("CRD", "ok", "ModelDeployments are known")


def _lacking_fields(installed: Object | Unseen) -> list[str]:
    """Paths of fields that this release knows and the cluster does not; none where one may not look."""
    return [] if isinstance(installed, Unseen) else sorted(_fields(definition()) - _fields(installed))


def _fields(crd: Object) -> set[str]:
    """Paths of all fields of its version."""
    versions = (each for each in crd["spec"]["versions"] if each["name"] == VERSION)
    return {path for each in versions for path in _paths(each["schema"]["openAPIV3Schema"], "")}


def _paths(schema: Object, path: str) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}{name}"
        yield from _paths(child.get("items", child), f"{path}{name}.")


def rights(there: Deployments) -> Iterator[Finding]:
    """Whether one may do here what the commands do."""
    asked = [(GROUP, PLURAL, verb) for verb in _VERBS]
    asked += [(GROUP, f"{PLURAL}/scale", "patch"), ("", "pods", "list"), ("", "pods/log", "get")]
    missing = [f"{verb} {name}" for group, name, verb in asked if not _may(there, group, name, verb)]
    if missing:
        words = f"you may not: {', '.join(missing)}"
        yield Finding("rights", "wrong", words, f"ask for a Role in {there.namespace} that allows it")
    else:
        yield Finding("rights", "ok", "you may do all that these commands do")


def _may(there: Deployments, group: str, name: str, verb: str) -> bool:
    plural, _, part = name.partition("/")
    about = {"namespace": there.namespace, "group": group, "resource": plural, "subresource": part, "verb": verb}
    review = {"apiVersion": _REVIEW.api_version, "kind": _REVIEW.name, "metadata": {}}
    said = look(there, request.create(_REVIEW, review | {"spec": {"resourceAttributes": about}}))
    return not isinstance(said, Unseen) and bool(said["status"].get("allowed"))


def operator(there: Deployments) -> Iterator[Finding]:
    said = look(there, request.listing(_DEPLOYMENT, None, _OPERATOR))
    if isinstance(said, Unseen):
        yield _not_seen("operator", said)
        return
    found = said.get("items") or []
    if not found:
        yield Finding("operator", "wrong", "no operator is installed", _CHART)
    yield from map(_of_operator, found)


def _of_operator(deployment: Object) -> Finding:
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    ready = deployment.get("status", {}).get("readyReplicas", 0)
    if ready:
        return Finding("operator", "ok", f"{name} in {namespace} runs, {ready} ready")
    remedy = f"kubectl describe deployment {name} -n {namespace}"
    return Finding("operator", "wrong", f"{name} in {namespace} does not run", remedy)


def names(there: Deployments) -> Iterator[Finding]:
    """Whether names are resolved in the cluster: without that clients find no gateway, and workers no hub."""
    said = look(there, request.listing(_SLICE, "kube-system", "kubernetes.io/service-name=kube-dns"))
    if isinstance(said, Unseen):
        yield _not_seen("DNS", said)
        return
    parts = said.get("items") or []
    ready = sum(bool(each.get("conditions", {}).get("ready")) for part in parts for each in part.get("endpoints") or ())
    if ready:
        yield Finding("DNS", "ok", f"{ready} servers resolve names")
    elif parts:
        yield Finding("DNS", "wrong", "no server resolves names", "kubectl get pods -n kube-system -l k8s-app=kube-dns")
    else:
        yield Finding("DNS", "unknown", "kube-system has no Service kube-dns: names are resolved in another way")


def gpus(there: Deployments) -> Iterator[Finding]:
    """What nodes have, and what models want of it."""
    said = look(there, request.listing(_NODE, None))
    if isinstance(said, Unseen):
        yield _not_seen("GPUs", said)
        return
    nodes = [each.get("status", {}).get("allocatable", {}) for each in said.get("items") or ()]
    wanting = [each for each in _models(there) if each.spec.gpus]
    kinds = {"nvidia.com/gpu", *(each.spec.gpu_resource for each in wanting)}
    amounts = {kind: [int(node.get(kind, 0)) for node in nodes] for kind in sorted(kinds)}
    has = ", ".join(f"{sum(each)} {kind}" for kind, each in amounts.items())
    yield Finding("GPUs", "ok", f"{len(nodes)} nodes with {has}")
    yield from (finding for each in wanting if (finding := _lacking_gpus(each, amounts)))


def _lacking_gpus(deployment: ModelDeployment, amounts: Mapping[str, Sequence[int]]) -> Finding | None:
    name, spec = deployment.metadata.name, deployment.spec
    most = max(amounts[spec.gpu_resource], default=0)
    if spec.gpus <= most:
        return None
    words = f"{name} wants {spec.gpus} {spec.gpu_resource} a worker, and no node has more than {most}"
    remedy = "lower spec.gpus or add a node" if most else "install the device plugin, or set spec.gpuResource"
    return Finding("GPUs", "wrong", words, remedy)


def gateway(there: Deployments) -> Iterator[Finding]:
    """Whether it runs, and responds through its Service."""
    found = look(there, request.get(_DEPLOYMENT, there.namespace, GATEWAY))
    if isinstance(found, Unseen):
        none_yet = found.status == _MISSING and not _models(there)
        words = f"none in {there.namespace}: it comes with the first model"
        yield Finding("gateway", "ok", words) if none_yet else _not_seen("gateway", found)
    elif available := found.get("status", {}).get("availableReplicas", 0):
        yield _responds(there, available)
    else:
        words = next(filter(None, map(_of_gateway, _models(there))), "no pod of it is ready")
        yield Finding("gateway", "wrong", words, "fastchat logs --gateway")


def _responds(there: Deployments, pods: int) -> Finding:
    """By the API server's proxy for Services."""
    path = f"/api/v1/namespaces/{there.namespace}/services/{GATEWAY}:80/proxy/ready"
    said = look(there, Request("GET", path))
    if isinstance(said, Unseen):
        return _not_seen("gateway", said)
    if amiss := said.get("discovery"):
        return Finding("gateway", "wrong", str(amiss), "kubectl logs deployment/fastchat-gateway")
    return Finding("gateway", "ok", f"{pods} pods, which respond through their Service")


def _of_gateway(deployment: ModelDeployment) -> str | None:
    about = condition(deployment, "GatewayReady")
    return f"{about.reason}: {about.message}" if about else None


_REMEDIES = {
    "ImagePullFailed": "check spec.engine.image, the operator's images.* and images.pullSecrets",
    "Unschedulable": "free or add a node, or ask for less in spec.resources and spec.gpus",
    "OutOfMemory": "raise spec.resources.limits.memory",
    "NameTaken": "choose another spec.model.name or alias",
    "PodRefused": "ask who is responsible for the quota or policy that it names",
}


def models(there: Deployments) -> Iterator[Finding]:
    """Those that cannot get ready, with the root cause; images that cannot be pulled are among these."""
    wrong = [finding for each in _models(there) if (finding := _of_model(each))]
    yield from wrong
    if not wrong:
        yield Finding("models", "ok", f"{len(_models(there))} here, none of them in trouble")


def _of_model(deployment: ModelDeployment) -> Finding | None:
    name, cause = deployment.metadata.name, trouble(deployment)
    if cause:
        remedy = _REMEDIES.get(cause.reason, f"fastchat logs {name}")
        return Finding("models", "wrong", f"{name}: {cause.reason}: {cause.message}", remedy)
    if condition(deployment, "Ready") is None:
        return Finding("models", "wrong", f"{name}: no operator has looked at it", "does it watch this namespace?")
    return None


def _models(there: Deployments) -> Sequence[ModelDeployment]:
    try:
        return there.list()
    except KubernetesError:
        return ()


CHECKS: tuple[Check, ...] = (cluster, resource, rights, operator, names, gpus, gateway, models)
"""In the order in which one thing needs another."""
