"""docs/modeldeployment.md, the reference of every field, from the types: `python -m fastchat.v1alpha1.reference`."""

import sys
from collections.abc import Iterator
from typing import Any

from fastchat.v1alpha1.crd import Schema, schema

_INTRODUCTION = """\
<!-- Generated from sdk/fastchat/v1alpha1/deployment.py by `make crds`. Do not edit. -->
# ModelDeployment

`fastchat.io/v1alpha1`, short name `md`: one model, served to one namespace. The API server checks every manifest
against what stands here and names the field that is wrong. `kubectl explain md.spec` shows the same.

```yaml
apiVersion: fastchat.io/v1alpha1
kind: ModelDeployment
metadata:
  name: vicuna-7b-v1.5
spec:
  model:
    source: hf://lmsys/vicuna-7b-v1.5
    aliases: [gpt-3.5-turbo]
  gpus: 1
```
"""


def as_markdown() -> str:
    """The page: a table of fields for each part of the resource, parents first."""
    properties = schema()["properties"]
    parts = [part for name in ("spec", "status") for part in _parts(name, properties[name])]
    return "\n".join([_INTRODUCTION, *[_section(path, node) for path, node in parts]])


def _parts(path: str, node: Schema) -> Iterator[tuple[str, Schema]]:
    """An object with named fields, and those below it."""
    yield path, node
    for name, child in node["properties"].items():
        inner = child.get("items", child)
        if "properties" in inner:
            yield from _parts(f"{path}.{name}{'[]' if inner is not child else ''}", inner)


def _section(path: str, node: Schema) -> str:
    rows = [_row(name, child, name in node.get("required", ())) for name, child in node["properties"].items()]
    rules = [f"- {_message(rule)}" for rule in node.get("x-kubernetes-validations", [])]
    head = [f"## {path}", "", _sentence(node), "", "| field | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", *(["Refused:", "", *rules, ""] if rules else [])])


def _row(name: str, node: Schema, required: bool) -> str:
    default = "**required**" if required else _default(node.get("default"))
    return f"| `{name}` | {_kind(node)} | {default} | {_sentence(node)}{_bounds(node)} |"


def _default(value: Any) -> str:
    return "" if value is None or value in ([], {}) or isinstance(value, dict) else f"`{value}`"


def _kind(node: Schema) -> str:
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"] if value)
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    if node["type"] == "array":
        return f"list of {_kind(node['items'])}"
    if node["type"] == "object":
        values = node.get("additionalProperties")
        return f"map of {_kind(values)}" if values else "object"
    return str(node["type"])


def _bounds(node: Schema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if node.get("type") != "integer" or low is None:
        return ""
    return f" From {low} to {high}." if high is not None else f" At least {low}."


def _message(rule: dict[str, str]) -> str:
    return f"`{rule['fieldPath'].lstrip('.')}` {rule['message']}" if "fieldPath" in rule else rule["message"]


def _sentence(node: Schema) -> str:
    return str(node.get("description", "")).replace("|", "\\|").replace("\n", " ").strip()


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
