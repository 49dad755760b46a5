"""How a model's files get to a worker: by volumes, and as the path that its engine is told."""

from dataclasses import dataclass
from typing import Any

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.model import DOWNLOADED
from fastchat.v1alpha1.source import ModelSource

CACHE = "/cache"
_MODEL = "/model"
_ADAPTERS = "/adapters"
_TEMPLATES, _TEMPLATE = "/chat-template", "template.jinja"


@dataclass(frozen=True)
class Mounted:
    """A volume of a worker and where it appears."""

    name: str
    path: str
    volume: dict[str, Any]
    read_only: bool = False


def mounts(deployment: ModelDeployment, size_limit: str) -> list[Mounted]:
    """The volumes that hold the files of a model and its adapters: claims that they are on, the cache of downloads.

    `size_limit` is for a cache on the node of which the ModelDeployment does not say how much it may hold.
    """
    model = deployment.spec.model
    volumes = [_claim("fastchat-model", _MODEL, model.source.root)] if model.source.scheme == "pvc" else []
    if not volumes or any(adapter.source.scheme in DOWNLOADED for adapter in model.adapters):
        volumes.append(_cache(deployment, size_limit))
    claims = dict.fromkeys(adapter.source.root for adapter in model.adapters if adapter.source.scheme == "pvc")
    named = enumerate(claims)
    return volumes + [_claim(f"fastchat-adapters-{at}", f"{_ADAPTERS}/{claim}", claim) for at, claim in named]


def _claim(name: str, path: str, claim: str) -> Mounted:
    return Mounted(name, path, {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}, read_only=True)


def _cache(deployment: ModelDeployment, size_limit: str) -> Mounted:
    cache = deployment.spec.cache
    if cache.claim_name:
        return Mounted("fastchat-cache", CACHE, {"persistentVolumeClaim": {"claimName": cache.claim_name}})
    limit = size_limit if cache.size_limit is None else str(cache.size_limit)
    return Mounted("fastchat-cache", CACHE, {"emptyDir": {"sizeLimit": limit}})


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
    return _path(deployment.spec.model.source, _MODEL)


def adapter_path(source: ModelSource) -> str:
    """Likewise of an adapter."""
    return _path(source, f"{_ADAPTERS}/{source.root}")


def _path(source: ModelSource, mounted: str) -> str:
    if source.scheme == "pvc":
        return f"{mounted}/{source.path}".rstrip("/")
    return source.path if source.scheme == "file" else str(source)


def secrets(deployment: ModelDeployment) -> list[dict[str, Any]]:
    """The environment of the download."""
    model = deployment.spec.model
    fetched = any(source.scheme in DOWNLOADED for source in model.sources)
    return [{"secretRef": {"name": model.secret_name}}] if model.secret_name and fetched else []
