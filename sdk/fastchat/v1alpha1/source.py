"""Where a model's files come from."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from fastchat.v1alpha1.primitives import DNS_SUBDOMAIN, Rule, obey

Scheme = Literal["hf", "pvc", "s3", "file", "package"]

_PATH = r"[^\x00-\x1f\x7f]"
_HF_NAME = r"[A-Za-z0-9][-A-Za-z0-9._]*"
_HF_FILE = r"[A-Za-z0-9][-A-Za-z0-9._/+ ]*"
_MODULE = "[A-Za-z_][A-Za-z0-9_]*"
_SOURCE_FORMS: dict[Scheme, tuple[str, str]] = {
    "hf": (
        "hf://org/name, hf://org/name@revision, and of several GGUF files one with :Q4_K_M or :file.gguf at the end",
        rf"{_HF_NAME}/{_HF_NAME}((@[-A-Za-z0-9._/]+)?(:{_HF_FILE})?|/{_HF_FILE}[.]gguf)",
    ),
    "pvc": ("pvc://claim/path", rf"{DNS_SUBDOMAIN}(/{_PATH}*)?"),
    "s3": ("s3://bucket/prefix", rf"[a-z0-9][-a-z0-9.]*[a-z0-9](/{_PATH}*)?"),
    "file": ("file:///path, an absolute path in the worker's file system", rf"/{_PATH}+"),
    "package": ("package://python_package/file", rf"{_MODULE}(\.{_MODULE})*/{_PATH}+"),
}
_SCHEMES = ", ".join(f"{scheme}://" for scheme in _SOURCE_FORMS)


def _form_rule(scheme: Scheme, form: str, pattern: str) -> Rule:
    full = f"{scheme}://{pattern}"
    return Rule(
        f"!self.startsWith('{scheme}://') || self.matches(r'^{full}$')",
        lambda text: not text.startswith(f"{scheme}://") or re.fullmatch(full, text),
        f"is written {form}",
    )


_SOURCE_RULES = (
    Rule("self.contains('://')", lambda text: "://" in text, f"has no scheme; use one of {_SCHEMES}"),
    Rule(
        f"!self.contains('://') || self.matches('^({'|'.join(_SOURCE_FORMS)})://')",
        lambda text: "://" not in text or text.partition("://")[0] in _SOURCE_FORMS,
        f"unknown scheme '{{}}'; use one of {_SCHEMES}",
        detail=("self.split('://')[0]", lambda text: text.partition("://")[0]),
    ),
    *(_form_rule(scheme, *form) for scheme, form in _SOURCE_FORMS.items()),
    Rule(
        r"!self.matches(r'/\.\.(/|$)')",
        lambda text: not re.search(r"/\.\.(/|\Z)", text),
        "must not climb with '..'",
    ),
)


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files come from; `str()` gives the URL back."""

    text: str
    scheme: Scheme
    root: str
    """`org/name` (hf), claim (pvc), bucket (s3), Python package (package); empty for file."""
    path: str = ""
    """Below the root: path (pvc), prefix (s3), file or folder (package); absolute for file; empty for hf."""
    revision: str | None = None
    """Branch, tag or commit (hf); None: the default branch."""
    file: str | None = None
    """Of several GGUF files (hf) the path of one, or a part of its name such as Q4_K_M; None: there is only one."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The source that a URL names; raises ValueError that says how it is written."""
        obey(_SOURCE_RULES, text)
        scheme, _, rest = text.partition("://")
        if scheme == "hf":
            rest, _, file = rest.partition(":")
            rest, _, revision = rest.partition("@")
            organisation, name, *path = rest.split("/")
            return cls(
                text,
                "hf",
                f"{organisation}/{name}",
                revision=revision or None,
                file=file or "/".join(path) or None,
            )
        root, slash, below = rest.partition("/")
        return cls(text, scheme, root, slash + below if scheme == "file" else below)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        url = core_schema.str_schema(strict=True, min_length=1, max_length=1024)
        return core_schema.no_info_after_validator_function(
            cls.parse, url, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"x-kubernetes-validations": [rule.as_kubernetes() for rule in _SOURCE_RULES]}
