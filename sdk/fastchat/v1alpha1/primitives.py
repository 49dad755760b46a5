"""What the parts of a custom resource are made of: rules, the base class, and the types that are Kubernetes' own.

A rule that ties fields together stands once, as a `Rule`: in CEL for the API server and in Python for `fastchat up`.
Like the API server, these types refuse unknown fields by name and take a null for a field that was left out.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True)
class Rule:
    """What must hold for a value: `cel` decides it in the API server, `holds` here; both say `message`."""

    cel: str
    holds: Callable[[Any], object]
    message: str
    field: str = ""
    """The field to blame, as a path below the value: `.autoscaling.maxReplicas`."""
    detail: tuple[str, Callable[[Any], str]] | None = None
    """What fills the `{}` of the message: in CEL and in Python."""

    def as_kubernetes(self) -> dict[str, str]:
        """One entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message.replace(" '{}'", "")}
        if self.detail:
            before, after = self.message.split("{}")
            entry["messageExpression"] = f'"{before}" + {self.detail[0]} + "{after}"'
        return entry | ({"fieldPath": self.field} if self.field else {})

    def text(self, value: object) -> str:
        return self.message.format(self.detail[1](value)) if self.detail else self.message


def obey(rules: Iterable[Rule], value: object) -> None:
    """Raise one error that carries, as `broken`, the field and the message of every rule that does not hold."""
    broken = [(rule.field, rule.text(value)) for rule in rules if not rule.holds(value)]
    if broken:
        raise PydanticCustomError("rules", "{text}", {"text": "; ".join(text for _, text in broken), "broken": broken})


class Part(BaseModel):
    """A part of the resource: camelCase on the wire, snake_case in Python."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        obey(self.rules, self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler.resolve_ref_schema(handler(schema))
        if cls.rules:
            described["x-kubernetes-validations"] = [rule.as_kubernetes() for rule in cls.rules]
        return described


class OpenPart(Part):
    """One of Kubernetes' own types of which only some fields are named here; the others are passed on as they are."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class Unique:
    """Marks a list as a set, or with `key` as a map keyed by that field: an entry given twice is refused."""

    key: str = ""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        kind = {"x-kubernetes-list-type": "set"}
        keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [to_camel(self.key)]}
        return handler(schema) | (keyed if self.key else kind)

    def _validate(self, items: list[Any]) -> list[Any]:
        keys = [getattr(item, self.key) if self.key else item for item in items]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            raise PydanticCustomError("duplicate", "{twice} is given twice", {"twice": repr(twice)})
        return items


_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
QUALIFIED_NAME = rf"^{DNS_SUBDOMAIN}/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_QUANTITY = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
_LONGEST_QUANTITY = 64


def _quantity(value: object) -> object:
    if isinstance(value, float):
        raise PydanticCustomError("quantity", "a fraction is written as a string: {text}", {"text": repr(str(value))})
    text = "" if isinstance(value, bool) else str(value)
    if not re.fullmatch(_QUANTITY, text) or len(text) > _LONGEST_QUANTITY:
        raise PydanticCustomError("quantity", "is not a quantity such as 500m, 4 or 16Gi")
    return value


ResourceName = Annotated[str, Field(max_length=253, pattern=f"^{DNS_SUBDOMAIN}$")]
Quantity = Annotated[
    int | str,
    BeforeValidator(_quantity),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maxLength": _LONGEST_QUANTITY,
            "pattern": _QUANTITY,
        }
    ),
]
Quantities = Annotated[dict[str, Quantity], Field(max_length=32)]


class Metadata(Part):
    """Kubernetes' ObjectMeta. Fields of it that are not known here are another version's, and passed over."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(
        max_length=63,
        pattern=f"^{DNS_SUBDOMAIN}$",
        description="Name of the resource, and of the served model where spec.model.name is left out.",
    )
    namespace: str | None = Field(None, description="Namespace whose gateway serves the model.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the resource.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the resource.")
    uid: str | None = Field(None, description="Set by the API server.")
    generation: int | None = Field(None, description="Counts the changes of spec; set by the API server.")
    resource_version: str | None = Field(None, description="Set by the API server.")
    creation_timestamp: Annotated[AwareDatetime, Field(strict=False)] | None = Field(
        None, description="Set by the API server; of two deployments that claim one name the older one serves it."
    )
    deletion_timestamp: Annotated[AwareDatetime, Field(strict=False)] | None = Field(
        None, description="Set by the API server once deletion was asked for."
    )
    deletion_grace_period_seconds: int | None = Field(None, description="Set by the API server; seconds.")
    finalizers: list[str] = Field(default_factory=list, description="Who must act before the resource goes.")
    owner_references: list[dict[str, JsonValue]] = Field(default_factory=list, description="Owners of the resource.")
    managed_fields: list[dict[str, JsonValue]] = Field(default_factory=list, description="Set by the API server.")
    generate_name: str | None = Field(None, description="Prefix that the API server made the name from.")
    self_link: str | None = Field(None, description="Set by API servers before 1.20.")


class EnvVar(Part):
    """An environment variable of the worker, as in a Pod."""

    name: str = Field(
        max_length=256, pattern="^[-._a-zA-Z][-._a-zA-Z0-9]*$", description="Name of the environment variable."
    )
    value: str | None = Field(None, max_length=32768, repr=False, description="Value of the variable.")
    value_from: dict[str, JsonValue] | None = Field(
        None, description="Where its value comes from: secretKeyRef, configMapKeyRef, fieldRef or resourceFieldRef."
    )

    rules = (
        Rule(
            "!has(self.valueFrom) || !has(self.value) || self.value == ''",
            lambda env: env.value_from is None or not env.value,
            "give value or valueFrom, not both",
        ),
    )


class Resources(Part):
    """Compute resources of one worker, as in a Pod. GPUs are asked for with spec.gpus."""

    requests: Quantities = Field(
        default_factory=dict, description="What the scheduler sets aside for a worker, such as cpu: 4, memory: 16Gi."
    )
    limits: Quantities = Field(default_factory=dict, description="What a worker may not exceed.")


class Toleration(Part):
    """A taint that the workers tolerate, as in a Pod."""

    key: str = Field("", max_length=317, description="Key of the taint; empty with operator Exists: every taint.")
    operator: Literal["Exists", "Equal"] = Field(
        "Equal", description="Equal compares the taint's value, Exists does not."
    )
    value: str = Field("", max_length=63, description="Value of the taint.")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        "", description="Effect of the taint; empty: every effect."
    )
    toleration_seconds: int | None = Field(
        None, description="How long a worker stays on a node after a NoExecute taint, in seconds; left out: for ever."
    )

    rules = (
        Rule(
            "self.operator != 'Exists' || self.value == ''",
            lambda toleration: toleration.operator != "Exists" or not toleration.value,
            "operator Exists takes no value",
            field=".value",
        ),
        Rule(
            "self.operator == 'Exists' || self.key != ''",
            lambda toleration: toleration.operator == "Exists" or toleration.key,
            "a toleration without a key needs operator Exists",
            field=".key",
        ),
        Rule(
            "!has(self.tolerationSeconds) || self.effect == 'NoExecute'",
            lambda toleration: toleration.toleration_seconds is None or toleration.effect == "NoExecute",
            "tolerationSeconds needs effect NoExecute",
            field=".tolerationSeconds",
        ),
    )


class Volume(OpenPart):
    """A volume of the worker pods, as in a Pod."""

    name: str = Field(max_length=63, pattern=f"^{_DNS_LABEL}$", description="Name that volumeMounts refer to.")


class VolumeMount(OpenPart):
    """Where a volume appears in the worker's container, as in a Pod."""

    name: str = Field(max_length=63, description="Name of one of spec.volumes.")
    mount_path: str = Field(min_length=1, max_length=1024, description="Path in the container.")
