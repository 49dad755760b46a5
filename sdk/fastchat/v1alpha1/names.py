"""What things are called in a cluster: the contract between operator, gateway and whoever looks with kubectl."""

import hashlib
import re
from collections.abc import Iterable, Mapping

from fastchat.v1alpha1.deployment import GROUP, ModelDeployment

MODEL_LABEL = f"{GROUP}/model-deployment"
"""On everything that belongs to one ModelDeployment, its value the name; EndpointSlices get it from their Service."""

COMPONENT_LABEL = "app.kubernetes.io/component"
"""`worker` or `gateway`."""

MANAGED_BY = {"app.kubernetes.io/managed-by": "fastchat-operator"}
"""On everything that the operator makes."""

GATEWAY = "fastchat-gateway"
"""Name of a namespace's gateway: Deployment, Service, ServiceAccount, Role, RoleBinding, PodDisruptionBudget."""

WORKERS = "fastchat-workers"
"""Name of the NetworkPolicy of all workers of a namespace."""

INTERNAL = "fastchat-internal"
"""Name of the Secret with which a namespace's gateways and workers and the operator know each other, entry `token`."""

INTERNAL_TOKEN_VARIABLE = "FASTCHAT_INTERNAL_TOKEN"  # noqa: S105  # its name
"""Environment variable in which gateways and workers get that token."""

KEY_HEADER = "x-fastchat-key"
"""Header in which a gateway tells its workers the name of a request's API key, never the key."""

KEYS = "fastchat-keys"
"""Name of the Secret with a namespace's API keys: an entry per key, by the key's name."""

WORKER_PORT = 8000
"""Port of every worker, whatever its engine."""

_LONGEST_LABEL = 63


def gateway_url(namespace: str) -> str:
    """Base URL of a namespace's OpenAI API inside the cluster."""
    return f"http://{GATEWAY}.{namespace}.svc/v1"


def worker_name(model_deployment: str) -> str:
    """Name of the Deployment and the Service of a ModelDeployment's workers: a DNS label that begins with a letter.

    A Service's name takes neither dots nor a leading digit; a hash keeps two names apart that would become one.
    """
    plain = f"{model_deployment}-worker"
    name = re.sub(r"^(?=[0-9])", "m-", plain.replace(".", "-"))
    if name == plain and len(name) <= _LONGEST_LABEL:
        return name
    mark = hashlib.sha256(model_deployment.encode()).hexdigest()[:8]
    stem = name.removesuffix("-worker")[: _LONGEST_LABEL - len(mark) - len("--worker")].rstrip("-")
    return f"{stem}-{mark}-worker"


def claims(deployments: Iterable[ModelDeployment]) -> Mapping[str, ModelDeployment]:
    """Served name → the ModelDeployment of the namespace that serves it: of two that want a name, the older one.

    One that is being deleted serves nothing new.
    """
    taken: dict[str, ModelDeployment] = {}
    for deployment in sorted(deployments, key=seniority):
        for name in () if deployment.metadata.deletion_timestamp else deployment.names:
            taken.setdefault(name, deployment)
    return taken


def seniority(deployment: ModelDeployment) -> tuple[bool, float, str]:
    """Sorts the oldest first; of two made in the same second, by name."""
    created = deployment.metadata.creation_timestamp
    return created is None, created.timestamp() if created else 0.0, deployment.metadata.name
