"""What can be set: a YAML file, in the chart a ConfigMap."""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Field, JsonValue, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from fastchat.v1alpha1.names import INTERNAL_TOKEN_VARIABLE
from fastchat.v1alpha1.primitives import EnvVar, Part, Quantity, ResourceName, Resources, Toleration, Unique

RESERVED_IN_GATEWAYS = frozenset({"POD_NAMESPACE", INTERNAL_TOKEN_VARIABLE})
"""Environment variables that FastChat sets itself."""
RESERVED_IN_WORKERS = frozenset(
    {
        *(INTERNAL_TOKEN_VARIABLE, "VLLM_API_KEY"),
        *("HOME", "USER", "HF_HOME", "FASTCHAT_CACHE_DIR", "VLLM_CACHE_ROOT"),
        *("FASTCHAT_MODEL_NAME", "FASTCHAT_MODEL_PATH", "PORT"),
    }
)
"""Likewise, of all engines; a ModelDeployment may set them for its own workers."""


class SettingsError(Exception):
    """The settings file cannot be used; the message says why in one line."""


def _not_one_of(reserved: frozenset[str]) -> AfterValidator:
    """Refuses an environment variable of these names."""

    def check(variable: EnvVar) -> EnvVar:
        if variable.name in reserved:
            raise PydanticCustomError(
                "reserved", "{name} is set by FastChat itself: leave it out", {"name": variable.name}
            )
        return variable

    return AfterValidator(check)


Origin = Annotated[str, Field(pattern=r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://[^\s/,?#@*]+)$")]
"""As browsers send it: scheme, host and perhaps a port, or `*`."""


class Release(Part):
    """Images that come with this release. Pods that are there keep those of the release that they were made by."""

    gateway: str = Field("fastchat-gateway:dev", description="The gateway.")
    worker: str = Field("fastchat-worker:dev", description="Workers of engine Transformers.")
    vllm: str = Field("docker.io/vllm/vllm-openai:v0.33.0", description="Workers of engine VLLM.")


class Images(Part):
    """Images that somebody has named, in place of the release's: a change replaces pods."""

    gateway: str | None = Field(None, min_length=1, description="The gateway.")
    worker: str | None = Field(None, min_length=1, description="Workers of engine Transformers.")
    vllm: str | None = Field(None, min_length=1, description="Workers of engine VLLM.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field("IfNotPresent", description="For all of them.")
    pull_secrets: list[ResourceName] = Field(
        default_factory=list, description="Secrets of the models' namespaces that hold the registries' passwords."
    )


class Gateway(Part):
    """The gateway that each namespace with a model gets."""

    replicas: int = Field(2, ge=1, le=100, description="Pods of each gateway.")
    require_api_keys: bool = Field(
        False, description="Whether gateways serve nobody, instead of everybody, while their namespace has no API key."
    )
    allowed_origins: list[Origin] = Field(
        default_factory=list, description="Origins whose web pages may call gateways, `*` for all; none: no other."
    )
    page: bool = Field(True, description="Whether gateways have a page to chat on at `/`.")
    args: list[str] = Field(default_factory=list, description="Arguments added to its command line.")
    env: Annotated[list[Annotated[EnvVar, _not_one_of(RESERVED_IN_GATEWAYS)]], Unique("name")] = Field(
        default_factory=list, description="Environment variables of gateways."
    )
    resources: Resources = Field(
        default_factory=lambda: Resources(requests={"cpu": "100m", "memory": "128Mi"}),
        description="CPU and memory of one gateway pod.",
    )
    grace_period_seconds: int = Field(
        300,
        ge=0,
        le=86_400,
        description="How long a gateway that is to stop may finish open requests, in seconds.",
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of the nodes for gateways.")
    tolerations: list[Toleration] = Field(default_factory=list, description="Taints that gateways tolerate.")
    affinity: dict[str, JsonValue] | None = Field(None, description="Affinity of gateways, as in a Pod.")
    priority_class_name: ResourceName | None = Field(None, description="PriorityClass of gateways.")
    roll: str = Field("", description="Any text; another one replaces all gateways, one namespace after another.")


class SizeLimits(Part):
    """What each volume of a worker that is on its node may hold; more, and the kubelet evicts the pod."""

    tmp: Quantity = Field("10Gi", description="Temporary files, and what engines compile.")
    cache: Quantity = Field("200Gi", description="Downloaded models, where spec.cache.sizeLimit does not say.")
    shared_memory: Quantity = Field("16Gi", description="Memory that the processes of vLLM share.")


class Worker(Part):
    """What a ModelDeployment's workers get where it does not say."""

    resources: Resources = Field(
        default_factory=Resources, description="CPU and memory of one worker, for what spec.resources leaves out."
    )
    env: Annotated[list[Annotated[EnvVar, _not_one_of(RESERVED_IN_WORKERS)]], Unique("name")] = Field(
        default_factory=list, description="Environment variables of workers, beside those of spec.engine.env."
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of the nodes for workers.")
    tolerations: list[Toleration] = Field(default_factory=list, description="Taints that workers tolerate.")
    runtime_class_name: ResourceName | None = Field(None, description="RuntimeClass of workers with GPUs.")
    size_limits: SizeLimits = Field(default_factory=SizeLimits, description="What volumes on the node may hold.")
    roll: str = Field("", description="Any text; another one replaces all workers, one model after another.")


_PODS_OF_THE_CLUSTER: dict[str, JsonValue] = {"namespaceSelector": {}}


class WorkerEgress(Part):
    """Whom workers reach."""

    enabled: bool = Field(False, description="Whether workers reach nobody but those in `dns` and `to`.")
    dns: list[dict[str, JsonValue]] = Field(
        default_factory=lambda: [_PODS_OF_THE_CLUSTER],
        description="Peers by which workers resolve names, on port 53, as in a NetworkPolicy; none: everyone.",
    )
    to: list[dict[str, JsonValue]] = Field(
        default_factory=list,
        description="Peers that workers may reach on any port, as in a NetworkPolicy; none: DNS alone.",
    )


class NetworkPolicy(Part):
    """Who reaches gateways and workers: each on its port only, and workers by their gateways only."""

    enabled: bool = Field(True, description="Whether there are NetworkPolicies at all.")
    gateway_from: list[dict[str, JsonValue]] = Field(
        default_factory=list, description="Peers that may reach gateways, as in a NetworkPolicy; none: everyone."
    )
    worker_from: list[dict[str, JsonValue]] = Field(
        default_factory=list, description="Peers that may reach workers, beside the gateways of their namespace."
    )
    worker_egress: WorkerEgress = Field(default_factory=WorkerEgress, description="Whom workers reach.")


class LeaderElection(Part):
    """Of several operators one acts; which one is written into a Lease."""

    name: ResourceName | None = Field(
        None, description="Name of the Lease, in the operator's namespace; left out: this operator is alone."
    )
    lease_seconds: int = Field(15, ge=3, description="An operator that has not renewed the Lease for so long is gone.")
    renew_seconds: int = Field(2, ge=1, description="How often the Lease is renewed or tried for.")

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        if self.renew_seconds * 2 > self.lease_seconds:
            raise ValueError("renewSeconds must be at most half of leaseSeconds")
        return self


class Settings(Part):
    """Everything that can be set."""

    namespaces: list[ResourceName] = Field(
        default_factory=list, description="Namespaces whose ModelDeployments count; none: all."
    )
    release: Release = Field(default_factory=Release, description="Images of what the operator starts.")
    images: Images = Field(default_factory=Images, description="Images named in place of the release's.")
    gateway: Gateway = Field(default_factory=Gateway, description="The gateway that each namespace with a model gets.")
    worker: Worker = Field(default_factory=Worker, description="Defaults of workers.")
    network_policy: NetworkPolicy = Field(
        default_factory=NetworkPolicy, description="Who reaches gateways and workers."
    )
    leader_election: LeaderElection = Field(default_factory=LeaderElection, description="Which operator acts.")
    resync_seconds: int = Field(60, ge=1, description="How often everything is read again, in seconds.")

    def image(self, part: Literal["gateway", "worker", "vllm"]) -> str:
        """The image that is named, else the release's."""
        named: str | None = getattr(self.images, part)
        return named or str(getattr(self.release, part))

    @classmethod
    def load(cls, path: Path) -> Self:
        """The settings of a YAML file; raises SettingsError."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()) or {}, by_alias=True, by_name=False)
        except OSError as error:
            raise SettingsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
        except yaml.YAMLError as error:
            raise SettingsError(f"{path} is not YAML: {error}") from None
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            raise SettingsError(f"{path}: " + "; ".join(problems)) from None
