"""`ModelDeployment`: one model, served to one namespace. The CRD in `crds/` is generated from these types."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue

from fastchat import _notebook
from fastchat.v1alpha1.model import Adapter, Model
from fastchat.v1alpha1.primitives import (
    QUALIFIED_NAME,
    EnvVar,
    Metadata,
    Part,
    Quantity,
    ResourceName,
    Resources,
    Rule,
    Toleration,
    Unique,
    Volume,
    VolumeMount,
)
from fastchat.v1alpha1.status import Condition, Status

GROUP = "fastchat.io"
VERSION = "v1alpha1"


class Engine(Part):
    """The server that runs the model."""

    type: Literal["Transformers", "VLLM", "Custom"] = Field(
        "Transformers",
        description="Transformers: FastChat's own worker. VLLM: vLLM's image. Custom: any server of OpenAI's API.",
    )
    image: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[!-~]+$")] | None = Field(
        None, description="Image of the worker. Default: the operator's setting for this engine; Custom has none."
    )
    args: list[Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=list,
        max_length=64,
        description="Arguments added to the engine's command line, such as --dtype=bfloat16.",
    )
    env: Annotated[list[EnvVar], Unique("name")] = Field(
        default_factory=list, max_length=128, description="Environment variables of the worker."
    )
    ready_path: Annotated[str, Field(max_length=256, pattern="^/[!-~]*$")] | None = Field(
        None,
        description="Path that responds with 200 once the model is loaded. Default: /ready (Transformers), "
        "/health (VLLM, Custom).",
    )

    rules = (
        Rule(
            "self.type != 'Custom' || has(self.image)",
            lambda engine: engine.type != "Custom" or engine.image is not None,
            "engine Custom needs an image",
            field=".image",
        ),
    )


class Autoscaling(Part):
    """How many workers run for how much demand."""

    min_replicas: int = Field(1, ge=0, le=1000, description="Fewest workers; 0 lets an unused model sleep.")
    max_replicas: int = Field(ge=1, le=1000, description="Most workers.")
    target_requests: int = Field(
        16,
        ge=1,
        le=100_000,
        description="Sequences in flight and held (n for each prompt, or texts to embed), per worker, to aim at.",
    )
    scale_down_delay_seconds: int = Field(
        300, ge=0, le=86_400, description="How long demand must have been lower before workers are stopped, in seconds."
    )

    rules = (
        Rule(
            "self.maxReplicas >= self.minReplicas",
            lambda scaling: scaling.max_replicas >= scaling.min_replicas,
            "must not be less than minReplicas",
            field=".maxReplicas",
        ),
    )


class Cache(Part):
    """Where a worker keeps what it downloaded; without this, in its pod, so that only a new pod downloads again."""

    claim_name: ResourceName | None = Field(
        None, description="PersistentVolumeClaim that keeps the files; workers on several nodes need ReadWriteMany."
    )
    size_limit: Quantity | None = Field(
        None, description="Most that may be kept in the pod, such as 100Gi. Default: what the operator allows, 200Gi."
    )

    rules = (
        Rule(
            "!has(self.claimName) || !has(self.sizeLimit)",
            lambda cache: cache.claim_name is None or cache.size_limit is None,
            "is for files kept in the pod; a claim has its own size",
            field=".sizeLimit",
        ),
    )


class Queue(Part):
    """Requests that the gateway holds while no worker is ready."""

    max_requests: int = Field(
        256,
        ge=0,
        le=100_000,
        description="Most requests held by one gateway pod; the next is refused with 429. 0 holds none.",
    )
    timeout_seconds: int = Field(
        600, ge=1, le=86_400, description="Longest wait of a held request, in seconds; then it is refused with 503."
    )


def _vllm_loads(adapter: Adapter) -> bool:
    """Whether `vllm serve --lora-modules` can be given it."""
    source = adapter.source
    return source.scheme in ("pvc", "file") or (source.scheme == "hf" and not (source.revision or source.file))


def _mounts_have_volumes(spec: "Spec") -> bool:
    return {mount.name for mount in spec.volume_mounts} <= {volume.name for volume in spec.volumes}


class Spec(Part):
    """What the team wants."""

    model: Model = Field(description="What is served, and under which names.")
    engine: Engine = Field(
        default_factory=Engine,
        json_schema_extra={"default": {"type": "Transformers"}},  # the API server tries the rules on it as it stands
        description="The server that runs the model.",
    )
    gpus: int = Field(0, ge=0, le=64, description="GPUs per worker; 0 runs it on the CPU.")
    gpu_resource: Annotated[str, Field(max_length=317, pattern=QUALIFIED_NAME)] = Field(
        "nvidia.com/gpu", description="Resource name that a GPU has in the cluster, such as amd.com/gpu."
    )
    resources: Resources = Field(
        default_factory=Resources, description="CPU, memory and ephemeral storage of one worker, as in a Pod."
    )
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=64, description="Labels that a node must have to run a worker."
    )
    tolerations: list[Toleration] = Field(
        default_factory=list, max_length=64, description="Taints of nodes that the workers tolerate."
    )
    affinity: dict[str, JsonValue] | None = Field(
        None, description="Node and pod affinity of the workers, as in a Pod."
    )
    runtime_class_name: ResourceName | None = Field(None, description="RuntimeClass of the workers, such as nvidia.")
    priority_class_name: ResourceName | None = Field(None, description="PriorityClass of the workers.")
    service_account_name: ResourceName | None = Field(
        None, description="ServiceAccount of the workers, for registries and clouds that know workloads by it."
    )
    cache: Cache = Field(
        default_factory=Cache,
        json_schema_extra={"default": {}},
        description="Where the workers keep what they download from hf:// or s3://.",
    )
    volumes: Annotated[list[Volume], Unique("name")] = Field(
        default_factory=list, max_length=32, description="Volumes of the worker pods, as in a Pod."
    )
    volume_mounts: Annotated[list[VolumeMount], Unique("mount_path")] = Field(
        default_factory=list, max_length=32, description="Where the volumes appear in the worker's container."
    )
    replicas: int = Field(
        1,
        ge=0,
        le=1000,
        description="Workers that should run. The autoscaler writes it: with autoscaling, leave it out of manifests.",
    )
    max_surge: int | None = Field(
        None,
        ge=0,
        le=1,
        description="Workers beyond replicas while the workers are replaced. 1: the new one is there before an old one "
        "goes; 0: an old one goes first, for clusters without a spare GPU. Default: 1 without GPUs, 0 with.",
    )
    termination_grace_period_seconds: int = Field(
        300,
        ge=0,
        le=86_400,
        description="How long a worker that is to stop may finish its requests, in seconds. "
        "Those of engine Transformers go on at another worker as soon as there is one.",
    )
    autoscaling: Autoscaling | None = Field(None, description="Lets the number of workers follow the demand.")
    queue: Queue = Field(
        default_factory=Queue,
        json_schema_extra={"default": {}},
        description="Requests that the gateway holds while no worker is ready.",
    )
    load_balancing: Literal["LeastRequests", "PrefixHash"] = Field(
        "LeastRequests",
        description="LeastRequests: the worker with the fewest sequences in flight. "
        "PrefixHash: the same beginning of a prompt goes to the same worker, which has it in its cache.",
    )

    rules = (
        Rule(
            "self.engine.type != 'Custom' || !has(self.model.trustRemoteCode) || !self.model.trustRemoteCode",
            lambda spec: spec.engine.type != "Custom" or not spec.model.trust_remote_code,
            "engine Custom takes what it needs in spec.engine.args",
            field=".model.trustRemoteCode",
        ),
        Rule(
            "self.engine.type != 'VLLM' || !self.model.source.startsWith('package://')",
            lambda spec: spec.engine.type != "VLLM" or spec.model.source.scheme != "package",
            "engine VLLM cannot read package://; use hf://, pvc://, s3:// or file://",
            field=".model.source",
        ),
        Rule(
            "self.engine.type != 'Custom' || !has(self.model.adapters) || size(self.model.adapters) == 0",
            lambda spec: spec.engine.type != "Custom" or not spec.model.adapters,
            "engine Custom takes what it needs in spec.engine.args",
            field=".model.adapters",
        ),
        Rule(
            "self.engine.type != 'VLLM' || !has(self.model.adapters) || self.model.adapters.all(adapter,"
            r" adapter.source.matches('^(pvc|file)://|^hf://[^@:]+$'))",
            lambda spec: spec.engine.type != "VLLM" or all(map(_vllm_loads, spec.model.adapters)),
            "engine VLLM loads adapters from hf:// without a revision, pvc:// and file:// only",
            field=".model.adapters",
        ),
        Rule(
            "self.engine.type == 'Transformers' || !has(self.model.chatTemplate)",
            lambda spec: spec.engine.type == "Transformers" or spec.model.chat_template is None,
            "names a template of engine Transformers; give VLLM one with chatTemplateFrom, and Custom what it takes",
            field=".model.chatTemplate",
        ),
        Rule(
            "self.engine.type != 'Custom' || !has(self.model.chatTemplateFrom)",
            lambda spec: spec.engine.type != "Custom" or spec.model.chat_template_from is None,
            "is for engines Transformers and VLLM; mount the ConfigMap with volumes and volumeMounts",
            field=".model.chatTemplateFrom",
        ),
        Rule(
            "self.model.task == 'Generate' || self.loadBalancing != 'PrefixHash'",
            lambda spec: spec.model.task == "Generate" or spec.load_balancing != "PrefixHash",
            "PrefixHash is for task Generate: embeddings and reranking reuse no prefix",
            field=".loadBalancing",
        ),
        Rule(
            "!has(self.autoscaling) || self.autoscaling.minReplicas > 0 || self.queue.maxRequests > 0",
            lambda spec: spec.autoscaling is None or spec.autoscaling.min_replicas > 0 or spec.queue.max_requests > 0,
            "minReplicas 0 needs a queue of at least 1 that holds requests while the first worker starts",
            field=".queue.maxRequests",
        ),
        Rule(
            "!has(self.resources) || !(has(self.resources.limits) && self.gpuResource in self.resources.limits"
            " || has(self.resources.requests) && self.gpuResource in self.resources.requests)",
            lambda spec: spec.gpu_resource not in {*spec.resources.limits, *spec.resources.requests},
            "GPUs are asked for with spec.gpus",
            field=".resources",
        ),
        Rule(
            "!has(self.volumeMounts) || self.volumeMounts.all(mount,"
            " has(self.volumes) && self.volumes.exists(volume, volume.name == mount.name))",
            _mounts_have_volumes,
            "each mount needs an entry of the same name in spec.volumes",
            field=".volumeMounts",
        ),
    )

    @property
    def surge(self) -> int:
        """Workers beyond replicas while the workers are replaced: `max_surge`, or its default."""
        return (0 if self.gpus else 1) if self.max_surge is None else self.max_surge


# --------------------------------------------------------------------------------------------------------------------
# The resource
# --------------------------------------------------------------------------------------------------------------------


class ModelDeployment(Part):
    """A model, served to the namespace by an OpenAI-compatible gateway."""

    api_version: Literal["fastchat.io/v1alpha1"] = Field(description="Group and version of this type.")
    kind: Literal["ModelDeployment"] = Field(description="Name of this type.")
    metadata: Metadata = Field(description="Kubernetes' ObjectMeta.")
    spec: Spec = Field(description="What is served, by what, and how much of it.")
    status: Status | None = Field(None, description="What the operator observes.")

    rules = (
        Rule(
            "!has(self.spec.model.aliases) ||"
            " !((has(self.spec.model.name) ? self.spec.model.name : self.metadata.name) in self.spec.model.aliases)",
            lambda deployment: deployment.name not in deployment.spec.model.aliases,
            "an alias repeats the model's own name",
            field=".spec.model.aliases",
        ),
        Rule(
            "!has(self.spec.model.adapters) || self.spec.model.adapters.all(adapter, adapter.name !="
            " (has(self.spec.model.name) ? self.spec.model.name : self.metadata.name))",
            lambda deployment: all(adapter.name != deployment.name for adapter in deployment.spec.model.adapters),
            "an adapter has the model's own name",
            field=".spec.model.adapters",
        ),
    )

    @classmethod
    def parse(cls, resource: object) -> Self:
        """The deployment that a manifest or the Kubernetes API holds; raises pydantic's ValidationError."""
        return cls.model_validate(resource, by_alias=True, by_name=False)

    @property
    def name(self) -> str:
        """The model's own name in API requests."""
        return self.spec.model.name or self.metadata.name

    @property
    def names(self) -> Sequence[str]:
        """Every name under which something is served: the model's own first, its aliases, its adapters'."""
        model = self.spec.model
        return (self.name, *model.aliases, *(adapter.name for adapter in model.adapters))

    @property
    def ready(self) -> Condition | None:
        """The condition `Ready`, with the root cause; None: the operator has not looked at it yet."""
        conditions = self.status.conditions if self.status else []
        return next((each for each in conditions if each.type == "Ready"), None)

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        """What it is and how it is; nothing of its variables, which may hold secrets."""
        yield None, self.metadata.name
        if self.metadata.namespace:
            yield "namespace", self.metadata.namespace
        yield "source", str(self.spec.model.source)
        if self.status:
            yield "ready", self.status.ready
            yield "reason", self.ready.reason if self.ready else None
        if self.status and self.status.progress:
            yield "progress", self.status.progress.summary

    def _repr_html_(self) -> str:
        """For notebooks."""
        status, ready = self.status or Status(), self.ready
        rows = [
            ("ModelDeployment", self.metadata.name),
            ("namespace", self.metadata.namespace or ""),
            ("model", self.spec.model.source),
            ("engine", self.spec.engine.type),
            ("GPUs per worker", self.spec.gpus),
            ("workers ready", status.ready or ""),
            ("state", f"{ready.reason}: {ready.message}" if ready else "the operator has not looked at it yet"),
            ("progress", status.progress.summary if status.progress else ""),
            ("URL", status.url or ""),
        ]
        return _notebook.table((), [(name, value) for name, value in rows if value != ""])
