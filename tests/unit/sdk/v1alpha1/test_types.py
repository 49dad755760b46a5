from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.source import ModelSource

CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    nested = {k: merge(base[k], v) for k, v in over.items() if isinstance(base.get(k), dict) and isinstance(v, dict)}
    return base | over | nested


def resource(spec: dict[str, Any], name: str = "demo") -> dict[str, Any]:
    return {
        "apiVersion": "fastchat.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": merge({"model": {"source": "hf://org/name"}}, spec),
    }


def path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)


def complaints(error: ValidationError) -> dict[str, str]:
    """The path of each refused field, as the API server writes it, and why."""
    found = {}
    for one in error.errors():
        for field, message in one.get("ctx", {}).get("broken", [("", one["msg"])]):
            found[(path(one["loc"]) + field).removeprefix(".")] = message
    return found


@pytest.mark.parametrize("case", [c for c in CASES if "refused" not in c], ids=str)
def test_what_can_work_is_taken(case: dict[str, Any]) -> None:
    ModelDeployment.parse(resource(case["spec"], case.get("name", "demo")))


@pytest.mark.parametrize("case", [c for c in CASES if "refused" in c], ids=str)
def test_what_cannot_work_is_refused_with_the_field_at_fault(case: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        ModelDeployment.parse(resource(case["spec"], case.get("name", "demo")))
    assert case.get("because", "") in complaints(error.value)[case["refused"]]


def test_two_broken_rules_of_one_part_are_both_reported() -> None:
    spec = {"model": {"task": "Embed"}, "loadBalancing": "PrefixHash", "resources": {"limits": {"nvidia.com/gpu": 1}}}
    with pytest.raises(ValidationError) as error:
        ModelDeployment.parse(resource(spec))
    assert set(complaints(error.value)) == {"spec.loadBalancing", "spec.resources"}


def test_left_out_fields_have_the_documented_defaults() -> None:
    spec = ModelDeployment.parse(resource({"autoscaling": {"maxReplicas": 3}})).spec
    assert (spec.model.task, spec.engine.type, spec.gpus, spec.replicas) == ("Generate", "Transformers", 0, 1)
    assert (spec.queue.max_requests, spec.queue.timeout_seconds) == (256, 600)
    assert spec.autoscaling is not None
    assert (spec.autoscaling.min_replicas, spec.autoscaling.target_requests) == (1, 16)
    assert spec.autoscaling.scale_down_delay_seconds == 300


def test_a_model_is_served_under_the_name_of_its_resource_and_its_aliases() -> None:
    deployment = ModelDeployment.parse(resource({"model": {"aliases": ["gpt-4", "gpt-3.5-turbo"]}}))
    assert list(deployment.names) == ["demo", "gpt-4", "gpt-3.5-turbo"]


def test_a_model_with_a_name_of_its_own_is_not_served_under_the_name_of_its_resource() -> None:
    assert list(ModelDeployment.parse(resource({"model": {"name": "vicuna"}})).names) == ["vicuna"]


def test_a_resource_as_the_api_server_returns_it_is_read() -> None:
    returned = resource({}) | {
        "status": {
            "observedGeneration": 2,
            "replicas": 2,
            "readyReplicas": 1,
            "ready": "1/2",
            "selector": "app=demo",
            "url": "http://fastchat-gateway.team.svc/v1",
            "conditions": [
                {
                    "type": "Ready",
                    "status": "False",
                    "reason": "Loading",
                    "message": "loading weights",
                    "lastTransitionTime": "2026-11-23T04:43:00Z",
                    "observedGeneration": 2,
                }
            ],
        }
    }
    returned["metadata"] |= {
        "namespace": "team",
        "uid": "8a6e",
        "generation": 2,
        "resourceVersion": "77",
        "creationTimestamp": "2026-11-23T04:40:00Z",
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    }
    deployment = ModelDeployment.parse(returned)
    assert deployment.metadata.creation_timestamp is not None
    assert deployment.status is not None
    assert deployment.status.conditions[0].reason == "Loading"
    assert deployment.model_dump(mode="json", exclude_unset=True) == returned


def test_metadata_of_a_newer_kubernetes_is_read_without_what_is_not_known_here() -> None:
    newer = resource({})
    newer["metadata"] |= {"shardKey": "a", "relatedResources": [{"uid": "8a6e"}]}
    assert ModelDeployment.parse(newer) == ModelDeployment.parse(resource({}))


def test_fields_that_pass_through_to_the_pod_keep_what_is_not_named_here() -> None:
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
    deployment = ModelDeployment.parse(resource({"volumes": [volume]}))
    assert deployment.spec.volumes[0].model_dump(mode="json") == volume


@pytest.mark.parametrize(
    ("text", "root", "path", "revision"),
    [
        ("hf://lmsys/vicuna-7b-v1.5", "lmsys/vicuna-7b-v1.5", "", None),
        ("hf://lmsys/vicuna-7b-v1.5@refs/pr/3", "lmsys/vicuna-7b-v1.5", "", "refs/pr/3"),
        ("pvc://claim/a/b", "claim", "a/b", None),
        ("s3://bucket", "bucket", "", None),
        ("file:///models/x", "", "/models/x", None),
        ("package://pkg.sub/dir/x.gguf", "pkg.sub", "dir/x.gguf", None),
    ],
)
def test_a_source_is_split_into_its_parts(text: str, root: str, path: str, revision: str | None) -> None:
    source = ModelSource.parse(text)
    assert (str(source), source.scheme) == (text, text.partition(":")[0])
    assert (source.root, source.path, source.revision) == (root, path, revision)


@pytest.mark.parametrize(
    ("text", "root", "revision", "file"),
    [
        ("hf://org/name:Q4_K_M", "org/name", None, "Q4_K_M"),
        ("hf://org/name@v1:Q4_K_M", "org/name", "v1", "Q4_K_M"),
        ("hf://org/name@refs/pr/3:dir/x-Q8_0.gguf", "org/name", "refs/pr/3", "dir/x-Q8_0.gguf"),
        ("hf://org/name/dir/x.gguf", "org/name", None, "dir/x.gguf"),
    ],
)
def test_one_of_several_files_is_named_after_the_revision(
    text: str, root: str, revision: str | None, file: str
) -> None:
    source = ModelSource.parse(text)
    assert (source.root, source.revision, source.file) == (root, revision, file)


def test_a_wrong_source_is_a_value_error_that_names_the_allowed_schemes() -> None:
    with pytest.raises(ValueError, match="unknown scheme 'ftp'; use one of hf://, pvc://, s3://, file://, package://"):
        ModelSource.parse("ftp://host/model")
