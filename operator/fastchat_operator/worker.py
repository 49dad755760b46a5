"""Plan of a ModelDeployment's workers: a Deployment, and a headless Service whose EndpointSlices the gateway reads."""

from collections.abc import Sequence
from typing import Any

from fastchat.deployment import ModelDeployment
from fastchat.naming import MANAGED_BY, WORKER_PORT, worker_name
from fastchat_operator import source, token
from fastchat_operator.engine import Launch, launch, probes
from fastchat_operator.kind import DEPLOYMENT, SERVICE
from fastchat_operator.meta import make, marked, owned, worker_labels
from fastchat_operator.pod import TMP, container_security, dump, given, leave, pod_security, pull, tolerated, variables
from fastchat_operator.settings import Settings

_STOP_MARGIN_SECONDS = 15
"""What a worker has beyond the grace period to close down."""


def plan(deployment: ModelDeployment, settings: Settings) -> Sequence[dict[str, Any]]:
    """Everything that a ModelDeployment's workers are made of, in the order in which it is applied."""
    return [marked(owned(each, deployment)) for each in (_service(deployment), _deployment(deployment, settings))]


def _service(deployment: ModelDeployment) -> dict[str, Any]:
    labels = worker_labels(deployment)
    ports = [{"name": "http", "port": WORKER_PORT, "targetPort": "http", "protocol": "TCP"}]
    spec = {"clusterIP": "None", "selector": labels, "ports": ports}
    return make(SERVICE, *_place(deployment), labels, spec=spec)


def _deployment(deployment: ModelDeployment, settings: Settings) -> dict[str, Any]:
    labels = worker_labels(deployment)
    surge = _surge(deployment)
    spec = {
        "replicas": deployment.spec.replicas,
        "selector": {"matchLabels": labels},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1 - surge},
        },
        "revisionHistoryLimit": 2,
        "template": {
            "metadata": {"labels": MANAGED_BY | labels},
            "spec": _pod(deployment, settings),
        },
    }
    return make(DEPLOYMENT, *_place(deployment), labels, spec=spec)


def _place(deployment: ModelDeployment) -> tuple[str, str]:
    return deployment.metadata.namespace or "default", worker_name(deployment.metadata.name)


def _surge(deployment: ModelDeployment) -> int:
    surge = deployment.spec.max_surge
    return (0 if deployment.spec.gpus else 1) if surge is None else surge


def _pod(deployment: ModelDeployment, settings: Settings) -> dict[str, Any]:
    spec, defaults = deployment.spec, settings.worker
    started = launch(deployment, settings.images)
    volumes = _volumes(deployment, started)
    return {
        "enableServiceLinks": False,  # a Service named vllm would set VLLM_PORT
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": (
            spec.termination_grace_period_seconds + started.leave_seconds + _STOP_MARGIN_SECONDS
        ),
        "securityContext": pod_security(started.user),
        "containers": [_container(deployment, settings, started, volumes)],
        "volumes": [{"name": each.name, **each.volume} for each in volumes] + [_dump_open(v) for v in spec.volumes],
        **pull(settings.images),
        **given(
            serviceAccountName=spec.service_account_name,
            nodeSelector=defaults.node_selector | spec.node_selector,
            tolerations=_gpu_toleration(deployment) + tolerated([*defaults.tolerations, *spec.tolerations]),
            affinity=spec.affinity,
            runtimeClassName=spec.runtime_class_name or (defaults.runtime_class_name if spec.gpus else None),
            priorityClassName=spec.priority_class_name,
        ),
    }


def _container(
    deployment: ModelDeployment, settings: Settings, started: Launch, volumes: Sequence[source.Mounted]
) -> dict[str, Any]:
    mounts = [
        {"name": each.name, "mountPath": each.path} | ({"readOnly": True} if each.read_only else {}) for each in volumes
    ]
    return {
        "name": "worker",
        "image": started.image,
        "imagePullPolicy": settings.images.pull_policy,
        "ports": [{"name": "http", "containerPort": WORKER_PORT, "protocol": "TCP"}],
        "volumeMounts": mounts + [_dump_open(mount) for mount in deployment.spec.volume_mounts],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(read_only=started.read_only),
        **probes(started),
        **leave(started.leave_seconds),
        **given(
            command=started.command,
            args=started.args,
            env=_env(deployment, settings, started),
            envFrom=source.secrets(deployment),
            resources=_resources(deployment, settings),
        ),
    }


def _env(deployment: ModelDeployment, settings: Settings, started: Launch) -> list[dict[str, Any]]:
    """Ours and the settings'; a variable of the team takes the place of either."""
    own = deployment.spec.engine.env
    taken = {variable.name for variable in own}
    preset = [*variables(started.env), token.variable(started.token_variable), *map(dump, settings.worker.env)]
    return [each for each in preset if each["name"] not in taken] + [dump(variable) for variable in own]


def _volumes(deployment: ModelDeployment, started: Launch) -> list[source.Mounted]:
    """Our volumes; the team's own mount at the same path takes the place of ours."""
    taken = {mount.mount_path.rstrip("/") for mount in deployment.spec.volume_mounts}
    ours = [source.Mounted("fastchat-tmp", TMP, {"emptyDir": {}}), *source.mounts(deployment), *started.mounts]
    return [each for each in ours if each.path not in taken]


def _resources(deployment: ModelDeployment, settings: Settings) -> dict[str, Any]:
    asked, defaults = dump(deployment.spec.resources), dump(settings.worker.resources)
    gpus = {deployment.spec.gpu_resource: str(deployment.spec.gpus)} if deployment.spec.gpus else {}
    limits = defaults.get("limits", {}) | asked.get("limits", {}) | gpus
    requests = defaults.get("requests", {}) | asked.get("requests", {}) | gpus
    return given(limits=_texts(limits), requests=_texts(requests))


def _texts(quantities: dict[str, int | str]) -> dict[str, str]:
    return {name: str(value) for name, value in quantities.items()}


def _gpu_toleration(deployment: ModelDeployment) -> list[dict[str, Any]]:
    """Nodes with GPUs are often tainted by the name of the resource, to keep others away."""
    if not deployment.spec.gpus:
        return []
    return [{"key": deployment.spec.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]


def _dump_open(part: Any) -> dict[str, Any]:
    """One of Kubernetes' own types, with the fields that we do not name."""
    return dict(part.model_dump(mode="json", by_alias=True, exclude_none=True))
