"""The CustomResourceDefinition of ModelDeployment, from the types beside it: `python -m fastchat.v1alpha1.crd`.

Kubernetes wants a structural schema: every node has a type, nothing is referenced, nothing is a union with null.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from fastchat.v1alpha1.deployment import GROUP, VERSION, ModelDeployment

PLURAL = "modeldeployments"

Schema = dict[str, Any]

_HEADER = "# Generated from sdk/fastchat/v1alpha1/deployment.py by `make crds`. Do not edit.\n"
_COLUMNS = [
    {"name": "Model", "type": "string", "jsonPath": ".spec.model.source"},
    {"name": "Engine", "type": "string", "jsonPath": ".spec.engine.type"},
    {"name": "Ready", "type": "string", "jsonPath": ".status.ready"},
    {"name": "Reason", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].reason'},
    {"name": "Progress", "type": "string", "jsonPath": ".status.progress.summary"},
    {"name": "Name", "type": "string", "jsonPath": ".spec.model.name", "priority": 1},
    {"name": "Aliases", "type": "string", "jsonPath": ".spec.model.aliases", "priority": 1},
    {"name": "URL", "type": "string", "jsonPath": ".status.url", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": "ModelDeployment",
                "listKind": "ModelDeploymentList",
                "plural": PLURAL,
                "singular": "modeldeployment",
                "shortNames": ["md"],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": _COLUMNS,
                }
            ],
        },
    }


def schema() -> Schema:
    """ModelDeployment as a structural schema."""
    generated = ModelDeployment.model_json_schema(by_alias=True)
    root = _structural(generated, generated.pop("$defs"))
    fields = root["properties"]
    for name in ("apiVersion", "kind"):
        fields[name].pop("enum")
    # Of metadata a schema may say nothing but how names look; not even a description.
    fields["metadata"] = {
        "type": "object",
        "properties": {"name": fields["metadata"]["properties"]["name"]},
    }
    return root


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    node = _without_union(_resolved(node, definitions), definitions)
    out: Schema = {key: node[key] for key in ("description", "type", *node) if key in node and key not in _REWRITTEN}
    if "const" in node:
        out["enum"] = [node["const"]]
    if node.get("default") is not None:
        out["default"] = node["default"]
    if "properties" in node:
        out["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
    if "items" in node:
        out["items"] = _structural(node["items"], definitions)
    return out | _open(node, definitions)


_REWRITTEN = frozenset({"title", "const", "default", "properties", "items", "additionalProperties"})


def _resolved(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The node with what it refers to written in place; its own words win."""
    if "$ref" not in node:
        return node
    own = {key: value for key, value in node.items() if key != "$ref"}
    return definitions[node["$ref"].removeprefix("#/$defs/")] | own


def _without_union(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """A field that may be left out: in pydantic's schema a union with null, in Kubernetes' just not required."""
    if "anyOf" not in node or node.get("x-kubernetes-int-or-string"):
        return node
    (branch,) = (branch for branch in node["anyOf"] if branch != {"type": "null"})
    own = {key: value for key, value in node.items() if key != "anyOf"}
    return _resolved(branch, definitions) | own


def _open(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """What an object may hold beside its named fields: nothing, values of one schema, or anything."""
    others = node.get("additionalProperties", False)
    if others is False:
        return {}
    values = {} if others is True else _resolved(others, definitions)
    if values == {}:
        return {"x-kubernetes-preserve-unknown-fields": True}
    return {"additionalProperties": _structural(values, definitions)}


def as_yaml() -> str:
    """The file that stands in `crds/`."""
    return _HEADER + yaml.dump(definition(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


if __name__ == "__main__":
    sys.stdout.write(as_yaml())
