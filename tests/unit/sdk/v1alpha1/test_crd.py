from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from fastchat.v1alpha1 import crd

ROOT = Path(__file__).parents[4]
CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())
STRUCTURAL = {
    "type", "description", "format", "default", "enum", "pattern", "nullable", "required", "properties", "items",
    "additionalProperties", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties",
    "x-kubernetes-validations", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip

Node = dict[str, Any]


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in node:
            yield from walk(node[inner], f"{path}.{inner}")


NODES = dict(walk(crd.schema()))


def nodes(*types: str) -> list[Any]:
    return [pytest.param(node, id=path) for path, node in NODES.items() if not types or node.get("type") in types]


def test_the_file_in_crds_is_what_the_types_say() -> None:
    written = (ROOT / "crds" / "modeldeployments.fastchat.io.yaml").read_text()
    assert written == crd.as_yaml(), "crds/ and sdk/fastchat/v1alpha1/deployment.py differ: run make crds"


@pytest.mark.parametrize("node", nodes())
def test_every_node_is_structural(node: Node) -> None:
    if node.get("x-kubernetes-int-or-string"):
        assert node["anyOf"] == [{"type": "integer"}, {"type": "string"}]
        assert set(node) <= STRUCTURAL | {"anyOf"}
    else:
        assert isinstance(node["type"], str)
        assert set(node) <= STRUCTURAL


@pytest.mark.parametrize("node", nodes("object"))
def test_every_object_says_what_it_may_hold(node: Node) -> None:
    assert "properties" in node or "additionalProperties" in node or node["x-kubernetes-preserve-unknown-fields"]
    assert not ("properties" in node and "additionalProperties" in node)


@pytest.mark.parametrize("path", [path for path, node in NODES.items() if "properties" in node])
def test_every_field_is_described(path: str) -> None:
    for name, child in NODES[path]["properties"].items():
        if (path, name) != ("", "metadata"):  # where Kubernetes allows none
            assert len(child["description"]) > 10, name


@pytest.mark.parametrize("node", nodes("array"))
def test_every_list_has_an_end(node: Node) -> None:
    assert node["maxItems"] <= 128


def rules() -> list[Any]:
    return [
        pytest.param(node, rule, id=f"{path}: {rule['message']}")
        for path, node in NODES.items()
        for rule in node.get("x-kubernetes-validations", [])
    ]


@pytest.mark.parametrize(("node", "rule"), rules())
def test_the_field_that_a_rule_blames_exists(node: Node, rule: dict[str, str]) -> None:
    for name in rule.get("fieldPath", "").split(".")[1:]:
        node = node["properties"][name]


@pytest.mark.parametrize(("node", "rule"), rules())
def test_a_rule_asks_whether_an_optional_field_is_there(node: Node, rule: dict[str, str]) -> None:
    for name, child in node.get("properties", {}).items():
        optional = name not in node.get("required", []) and "default" not in child
        if optional and f"self.{name}" in rule["rule"]:
            assert f"has(self.{name})" in rule["rule"]


def test_text_that_a_rule_reads_has_a_longest_length() -> None:
    for path in (".spec.model.source", ".spec.model.name", ".spec.model.aliases.items", ".metadata.name"):
        assert NODES[path]["maxLength"] <= 1024


@pytest.mark.parametrize("node", [n for n in NODES.values() if n.get("default") is not None])
def test_a_default_is_valid_where_it_stands(node: Node) -> None:
    jsonschema.validate(node["default"], node)


def test_the_schema_alone_takes_every_deployment_that_can_work() -> None:
    for case in CASES:
        if "refused" not in case and None not in case["spec"].values():
            spec = {**case["spec"], "model": {"source": "hf://org/name"} | case["spec"].get("model", {})}
            jsonschema.validate(spec, crd.schema()["properties"]["spec"])


def test_kubectl_scale_and_an_autoscaler_find_the_replicas() -> None:
    (version,) = crd.definition()["spec"]["versions"]
    assert set(version["subresources"]) == {"status", "scale"}
    for path in version["subresources"]["scale"].values():
        assert path in NODES


def test_every_printed_column_shows_a_field_that_exists() -> None:
    (version,) = crd.definition()["spec"]["versions"]
    for column in version["additionalPrinterColumns"]:
        field = column["jsonPath"].replace('[?(@.type=="Ready")]', ".items")
        assert field in NODES or field == ".metadata.creationTimestamp"
