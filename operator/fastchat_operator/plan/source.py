"""How a model's files get to a worker: by volumes, and as the path that its engine is told."""

from dataclasses import dataclass
from typing import Any

from fastchat.v1alpha1.deployment import ModelDeployment

CACHE = "/cache"
_MODEL = "/model"
_TEMPLATES, _TEMPLATE = "/chat-template", "template.jinja"
_DOWNLOADED = ("hf", "s3")


@dataclass(frozen=True)
class Mounted:
    """A volume of a worker and where it appears."""

    name: str
    path: str
    volume: dict[str, Any]
    read_only: bool = False


def mounts(deployment: ModelDeployment, size_limit: str) -> list[Mounted]:
    """The volumes that hold a model's files: the claim it is on, or the cache it is downloaded to.

    `size_limit` is for a cache on the node of which the ModelDeployment does not say how much it may hold.
    """
    source, cache = deployment.spec.model.source, deployment.spec.cache
    if source.scheme == "pvc":
        claim = {"persistentVolumeClaim": {"claimName": source.root, "readOnly": True}}
        return [Mounted("fastchat-model", _MODEL, claim, read_only=True)]
    if cache.claim_name:
        return [Mounted("fastchat-cache", CACHE, {"persistentVolumeClaim": {"claimName": cache.claim_name}})]
    limit = size_limit if cache.size_limit is None else str(cache.size_limit)
    return [Mounted("fastchat-cache", CACHE, {"emptyDir": {"sizeLimit": limit}})]


def chat_template(deployment: ModelDeployment) -> list[Mounted]:
    """The volume with a chat template of the team's own, where there is one."""
    given = deployment.spec.model.chat_template_from
    if given is None:
        return []
    entry = given.config_map_key_ref
    volume = {"configMap": {"name": entry.name, "items": [{"key": entry.key, "path": _TEMPLATE}]}}
    return [Mounted("fastchat-chat-template", _TEMPLATES, volume, read_only=True)]


def chat_template_args(deployment: ModelDeployment) -> list[str]:
    """The option that names a chat template; engines Transformers and VLLM call it the same."""
    model = deployment.spec.model
    named = f"{_TEMPLATES}/{_TEMPLATE}" if model.chat_template_from else model.chat_template
    return [f"--chat-template={named}"] if named else []


def path(deployment: ModelDeployment) -> str:
    """The source as an engine in the pod finds it: a path where the files are mounted, else the URL."""
    source = deployment.spec.model.source
    if source.scheme == "pvc":
        return f"{_MODEL}/{source.path}".rstrip("/")
    return source.path if source.scheme == "file" else str(source)


def secrets(deployment: ModelDeployment) -> list[dict[str, Any]]:
    """The environment of the download."""
    name = deployment.spec.model.secret_name
    return [{"secretRef": {"name": name}}] if name and deployment.spec.model.source.scheme in _DOWNLOADED else []
