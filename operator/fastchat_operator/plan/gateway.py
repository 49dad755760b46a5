"""Plan of a namespace's gateway: Deployment, Service, its rights to read, a PodDisruptionBudget, NetworkPolicies."""

from collections.abc import Sequence
from typing import Any

from fastchat._kube.kind import Kind, Object
from fastchat.v1alpha1.deployment import GROUP
from fastchat.v1alpha1.names import (
    COMPONENT_LABEL,
    GATEWAY,
    INTERNAL_TOKEN_VARIABLE,
    KEYS,
    MANAGED_BY,
    WORKER_PORT,
    WORKERS,
)
from fastchat_operator.kube import token
from fastchat_operator.kube.kind import (
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    ROLE,
    ROLE_BINDING,
    SERVICE,
    SERVICE_ACCOUNT,
)
from fastchat_operator.kube.meta import gateway_labels, make, marked
from fastchat_operator.plan.pod import TMP, container_security, dump, given, leave, pod_security, pull, tolerated
from fastchat_operator.plan.revision import ROLL_ANNOTATION, Template, choose_template, record
from fastchat_operator.plan.workloads import DEPLOYMENTS
from fastchat_operator.plan.workloads.workload import Pods
from fastchat_operator.settings import NetworkPolicy, Settings, WorkerEgress

PORT = 8080
_USER = 65532
_KEYS_DIR = "/etc/fastchat/keys"
_TMP_SIZE_LIMIT = "64Mi"
_LEAVE_SECONDS = 5
_STOP_MARGIN_SECONDS = 15


def plan(namespace: str, settings: Settings, there: Object | None = None) -> Sequence[dict[str, Any]]:
    """Everything that a gateway is made of, in the order in which it is applied.

    `there`: its Deployment, whose pods are replaced only for a reason.
    """
    template, made = choose_template(there, "", settings, _template)
    contents: Sequence[tuple[Kind, str, dict[str, Any]]] = [
        (SERVICE_ACCOUNT, GATEWAY, {}),
        (ROLE, GATEWAY, {"rules": _rules()}),
        (ROLE_BINDING, GATEWAY, _binding(namespace)),
        (SERVICE, GATEWAY, {"spec": _service()}),
        *((NETWORK_POLICY, name, {"spec": spec}) for name, spec in _network_policies(settings.network_policy).items()),
    ]
    beside = [make(kind, namespace, name, gateway_labels(), **content) for kind, name, content in contents]
    pods = Pods(namespace, GATEWAY, gateway_labels(), template, settings.gateway.replicas, surge=1)
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": gateway_labels()}}
    planned = [
        *beside,
        record(DEPLOYMENTS.manifest(pods), made),
        make(POD_DISRUPTION_BUDGET, namespace, GATEWAY, gateway_labels(), spec=budget),
    ]
    return [marked(each) for each in planned]


def _network_policies(wanted: NetworkPolicy) -> dict[str, dict[str, Any]]:
    """Specs by name: gateways and workers are reached on their port only, workers by the namespace's gateways only."""
    if not wanted.enabled:
        return {}
    workers = MANAGED_BY | {COMPONENT_LABEL: "worker"}
    gateways = {"podSelector": {"matchLabels": gateway_labels()}}
    return {
        GATEWAY: _admit(gateway_labels(), PORT, wanted.gateway_from),
        WORKERS: _confine(_admit(workers, WORKER_PORT, [gateways, *wanted.worker_from]), wanted.worker_egress),
    }


def _admit(labels: dict[str, str], port: int, peers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Spec of a policy: pods with these labels are reached on this port only, by these peers; without any, by all."""
    rule = {"ports": [{"port": port, "protocol": "TCP"}], **given(**{"from": peers})}
    return {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": [rule]}


def _confine(policy: dict[str, Any], wanted: WorkerEgress) -> dict[str, Any]:
    """The policy; where wanted, it also limits what its pods reach to DNS and the given peers."""
    if not wanted.enabled:
        return policy
    ports = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    rules = [{"ports": ports, **given(to=wanted.dns)}, *([{"to": wanted.to}] if wanted.to else [])]
    return policy | {"policyTypes": ["Ingress", "Egress"], "egress": rules}


def _rules() -> list[dict[str, Any]]:
    """What discovery reads."""
    verbs = ["get", "list", "watch"]
    return [
        {"apiGroups": [GROUP], "resources": ["modeldeployments"], "verbs": verbs},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
    ]


def _binding(namespace: str) -> dict[str, Any]:
    return {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": GATEWAY},
        "subjects": [{"kind": "ServiceAccount", "name": GATEWAY, "namespace": namespace}],
    }


def _service() -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    return {"type": "ClusterIP", "selector": gateway_labels(), "ports": ports}


def _template(settings: Settings) -> Template:
    """The pods. tests/unit/operator/golden has those of this release, byte for byte."""
    rolls = given(annotations=given(**{ROLL_ANNOTATION: settings.gateway.roll}))
    return {"metadata": {"labels": MANAGED_BY | gateway_labels(), **rolls}, "spec": _pod(settings)}


def _pod(settings: Settings) -> dict[str, Any]:
    wanted = settings.gateway
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": gateway_labels()},
    }
    return {
        "serviceAccountName": GATEWAY,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": wanted.grace_period_seconds + _LEAVE_SECONDS + _STOP_MARGIN_SECONDS,
        "securityContext": pod_security(_USER),
        "containers": [_container(settings)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE_LIMIT}},
            {"name": "keys", "secret": {"secretName": KEYS, "optional": True}},
        ],
        "topologySpreadConstraints": [spread],
        **pull(settings.images),
        **given(
            nodeSelector=wanted.node_selector,
            tolerations=tolerated(wanted.tolerations),
            affinity=wanted.affinity,
            priorityClassName=wanted.priority_class_name,
        ),
    }


def _container(settings: Settings) -> dict[str, Any]:
    wanted = settings.gateway
    args = [
        "--kubernetes",
        "--host=0.0.0.0",
        f"--port={PORT}",
        f"--grace-period-seconds={wanted.grace_period_seconds}",
        f"--keys-dir={_KEYS_DIR}",
        *(["--require-api-keys"] if wanted.require_api_keys else []),
        *([f"--allowed-origins={','.join(wanted.allowed_origins)}"] if wanted.allowed_origins else []),
        *([] if wanted.page else ["--no-page"]),
        *wanted.args,
    ]
    return {
        "name": "gateway",
        "image": settings.image("gateway"),
        "imagePullPolicy": settings.images.pull_policy,
        "args": args,
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            token.variable(INTERNAL_TOKEN_VARIABLE),
            *map(dump, wanted.env),
        ],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "volumeMounts": [
            {"name": "tmp", "mountPath": TMP},
            {"name": "keys", "mountPath": _KEYS_DIR, "readOnly": True},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(read_only=True),
        "startupProbe": _get("/ready", periodSeconds=1, failureThreshold=300),
        "readinessProbe": _get("/ready", periodSeconds=5, failureThreshold=2),
        "livenessProbe": _get("/health", periodSeconds=10, failureThreshold=3),
        **leave(_LEAVE_SECONDS),
        **given(resources=dump(wanted.resources)),
    }


def _get(path: str, **rest: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 5, **rest}
