"""`spec.model` of a ModelDeployment: what is served, and under which names."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from fastchat.api import Task
from fastchat.v1alpha1.primitives import Part, ResourceName, Rule, Unique
from fastchat.v1alpha1.source import ModelSource

DOWNLOADED = ("hf", "s3")
"""Schemes of sources that a worker fetches itself."""

ServedName = Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z0-9]([-A-Za-z0-9._:/]*[A-Za-z0-9])?$")]


class ConfigMapKey(Part):
    """One entry of a ConfigMap in the namespace."""

    name: ResourceName = Field(description="Name of the ConfigMap.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern="^[-._a-zA-Z0-9]+$")] = Field(
        description="The entry that holds the template."
    )


class ChatTemplateSource(Part):
    """Where a chat template is."""

    config_map_key_ref: ConfigMapKey = Field(
        description="An entry of a ConfigMap; workers that run keep the template that they started with."
    )


class Adapter(Part):
    """An adapter (LoRA) of the model, served under a name of its own."""

    name: ServedName = Field(description="Name of the adapter in API requests.")
    source: ModelSource = Field(
        description="Where its files come from, in PEFT's layout; written as the model's source, without :file."
    )


class Model(Part):
    """What is served, and under which names."""

    source: ModelSource = Field(
        description="Where the model's files come from: hf://org/name[@revision][:file], pvc://claim/path, "
        "s3://bucket/prefix, file:///path (in the image or a mounted volume) or package://python_package/file. "
        "Of a repository with several GGUF files, file is the path of one or a part of its name, such as Q4_K_M."
    )
    name: ServedName | None = Field(
        None, description="Name of the model in API requests. Default: the name of the resource."
    )
    aliases: Annotated[list[ServedName], Unique()] = Field(
        default_factory=list,
        max_length=16,
        description="Further names under which the model is served, for programs written for another model.",
    )
    adapters: Annotated[list[Adapter], Unique("name")] = Field(
        default_factory=list,
        max_length=32,
        description="Adapters (LoRA), served beside the model, each under a name of its own; several run in one "
        "batch. Other adapters replace the workers. Engines Transformers and VLLM.",
    )
    task: Task = Field(
        "Generate",
        description="Generate: chat, completions and embeddings by a language model. Embed: an embedding model. "
        "Rerank: a cross-encoder, which sorts documents by how well they match a query.",
    )
    secret_name: ResourceName | None = Field(
        None, description="Secret whose keys are the environment of the download, such as HF_TOKEN."
    )
    trust_remote_code: bool = Field(
        False,
        description="Runs the Python code that the model brings along, for models that need it. It can do whatever "
        "the worker can: read its secrets and volumes, answer in its place, reach its network. Only for code that you "
        "have read, of a fixed revision. Engines Transformers and VLLM.",
    )

    chat_template: Annotated[str, Field(max_length=63, pattern="^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$")] | None = (
        Field(
            None,
            description="How conversations are put into words: the name of a chat template that ships with the worker, "
            "such as vicuna_v1.1. Default: the model's own, else the one that ships for its name.",
        )
    )
    chat_template_from: ChatTemplateSource | None = Field(
        None, description="A Jinja chat template of your own, in place of chatTemplate."
    )

    rules = (
        Rule(
            "!has(self.chatTemplate) || !has(self.chatTemplateFrom)",
            lambda model: model.chat_template is None or model.chat_template_from is None,
            "and chatTemplate exclude each other: give one of them, not both",
            field=".chatTemplateFrom",
        ),
        Rule(
            "self.task == 'Generate' || !(has(self.chatTemplate) || has(self.chatTemplateFrom))",
            lambda model: model.task == "Generate" or (model.chat_template or model.chat_template_from) is None,
            "a chat template is for task Generate",
            field=".task",
        ),
        Rule(
            "!has(self.secretName) || self.source.startsWith('hf://') || self.source.startsWith('s3://') ||"
            " has(self.adapters) && self.adapters.exists(adapter,"
            " adapter.source.startsWith('hf://') || adapter.source.startsWith('s3://'))",
            lambda model: model.secret_name is None or any(source.scheme in DOWNLOADED for source in model.sources),
            "is for the download from hf:// or s3://; this source needs none",
            field=".secretName",
        ),
        Rule(
            "!has(self.adapters) || size(self.adapters) == 0 || self.task == 'Generate'",
            lambda model: not model.adapters or model.task == "Generate",
            "are for task Generate",
            field=".adapters",
        ),
        Rule(
            "!has(self.adapters) || !has(self.aliases) || self.adapters.all(adapter, !(adapter.name in self.aliases))",
            lambda model: not {adapter.name for adapter in model.adapters} & set(model.aliases),
            "an adapter has the name of an alias",
            field=".adapters",
        ),
    )

    @property
    def sources(self) -> Sequence[ModelSource]:
        """The model's and its adapters'."""
        return (self.source, *(adapter.source for adapter in self.adapters))
