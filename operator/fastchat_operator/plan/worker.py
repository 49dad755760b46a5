"""Plan of a ModelDeployment's workers: a workload, and a headless Service whose EndpointSlices the gateway reads."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastchat._kube.kind import Object
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import MANAGED_BY, WORKER_PORT, worker_name
from fastchat_operator.kube import token
from fastchat_operator.kube.kind import SERVICE
from fastchat_operator.kube.meta import make, marked, owned, worker_labels
from fastchat_operator.plan import source
from fastchat_operator.plan.engines import ENGINES
from fastchat_operator.plan.engines.launch import Launch
from fastchat_operator.plan.pod import (
    TMP,
    container_security,
    dump,
    given,
    leave,
    pod_security,
    pull,
    tolerated,
    variables,
)
from fastchat_operator.plan.revision import ROLL_ANNOTATION, Template, choose_template, mark, record
from fastchat_operator.plan.workloads import workload_for
from fastchat_operator.plan.workloads.workload import Pods
from fastchat_operator.settings import Settings

_STOP_MARGIN_SECONDS = 15
"""What a worker has beyond the grace period to close down."""
_BESIDE_THE_PODS = {"replicas", "autoscaling", "queue", "load_balancing", "max_surge"}
"""Fields of a ModelDeployment that say nothing of its pods."""


def plan(deployment: ModelDeployment, settings: Settings, there: Object | None = None) -> Sequence[dict[str, Any]]:
    """Everything that a ModelDeployment's workers are made of, in the order in which it is applied.

    `there`: the workload of its workers, whose pods are replaced only for a reason.
    """
    planned = (_service(deployment), _workload(deployment, settings, there))
    return [marked(owned(each, deployment)) for each in planned]


def _service(deployment: ModelDeployment) -> dict[str, Any]:
    labels = worker_labels(deployment)
    ports = [{"name": "http", "port": WORKER_PORT, "targetPort": "http", "protocol": "TCP"}]
    spec = {"clusterIP": "None", "selector": workload_for(deployment).selector(labels), "ports": ports}
    return make(SERVICE, *_place(deployment), labels, spec=spec)


def _workload(deployment: ModelDeployment, settings: Settings, there: Object | None) -> dict[str, Any]:
    template, made = choose_template(there, _asked(deployment), settings, partial(_template, deployment))
    replicas, surge = deployment.spec.replicas, deployment.spec.surge
    pods = Pods(*_place(deployment), worker_labels(deployment), template, replicas, surge)
    return record(workload_for(deployment).manifest(pods), made)


def _template(deployment: ModelDeployment, settings: Settings) -> Template:
    """The pods. tests/unit/operator/golden has those of this release, byte for byte."""
    rolls = " ".join(filter(None, (settings.worker.roll, _own_roll(deployment))))
    annotations = given(annotations=given(**{ROLL_ANNOTATION: rolls}))
    metadata = {"labels": MANAGED_BY | worker_labels(deployment), **annotations}
    return {"metadata": metadata, "spec": _pod(deployment, settings)}


def _asked(deployment: ModelDeployment) -> str:
    """Hash of what a ModelDeployment says of its pods. Fields left out do not count, also those of a later release."""
    spec = deployment.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_BESIDE_THE_PODS)
    return mark([spec, _own_roll(deployment)])


def _own_roll(deployment: ModelDeployment) -> str:
    return deployment.metadata.annotations.get(ROLL_ANNOTATION, "")


def _place(deployment: ModelDeployment) -> tuple[str, str]:
    return deployment.metadata.namespace or "default", worker_name(deployment.metadata.name)


def _pod(deployment: ModelDeployment, settings: Settings) -> dict[str, Any]:
    spec, defaults = deployment.spec, settings.worker
    started = ENGINES[spec.engine.type](deployment, settings)
    volumes = _volumes(deployment, settings, started)
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
        "ports": started.ports(),
        "volumeMounts": mounts + [_dump_open(mount) for mount in deployment.spec.volume_mounts],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(read_only=started.read_only),
        **started.probes(),
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
    """Our variables and the settings'; one of the ModelDeployment takes the place of either."""
    own = deployment.spec.engine.env
    names = {variable.name for variable in own}
    preset = [*variables(started.env), token.variable(started.token_variable), *map(dump, settings.worker.env)]
    return [each for each in preset if each["name"] not in names] + [dump(variable) for variable in own]


def _volumes(deployment: ModelDeployment, settings: Settings, started: Launch) -> list[source.Mounted]:
    """Our volumes, without those at whose path the ModelDeployment mounts one of its own."""
    own_paths = {mount.mount_path.rstrip("/") for mount in deployment.spec.volume_mounts}
    limits = settings.worker.size_limits
    temporary = source.Mounted("fastchat-tmp", TMP, {"emptyDir": {"sizeLimit": str(limits.tmp)}})
    ours = [
        temporary,
        *source.mounts(deployment, str(limits.cache)),
        *source.chat_template(deployment),
        *started.mounts,
    ]
    return [each for each in ours if each.path not in own_paths]


def _resources(deployment: ModelDeployment, settings: Settings) -> dict[str, Any]:
    own, defaults = dump(deployment.spec.resources), dump(settings.worker.resources)
    gpus = {deployment.spec.gpu_resource: str(deployment.spec.gpus)} if deployment.spec.gpus else {}
    limits = defaults.get("limits", {}) | own.get("limits", {}) | gpus
    requests = defaults.get("requests", {}) | own.get("requests", {}) | gpus
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
