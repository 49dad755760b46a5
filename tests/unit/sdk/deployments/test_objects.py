"""ModelDeployments from Python to the wire and back."""

import pytest

from fastchat import errors
from fastchat.deployments.objects import body_of, deployment_of, manifest

THERE = {
    "metadata": {
        "name": "vicuna",
        "namespace": "team",
        "uid": "1",
        "resourceVersion": "7",
        "generation": 2,
        "creationTimestamp": "2026-11-23T04:00:00Z",
        "managedFields": [{"manager": "somebody"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"},
    },
    "spec": {"model": {"source": "hf://org/name"}, "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}]},
    "status": {"replicas": 1, "ready": "1/1"},
}


def test_only_what_was_set_is_sent():
    assert body_of(manifest("vicuna", "hf://org/name", gpus=1, engine={"type": "VLLM"}), "team") == {
        "apiVersion": "fastchat.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "vicuna", "namespace": "team"},
        "spec": {"model": {"source": "hf://org/name"}, "gpus": 1, "engine": {"type": "VLLM"}},
    }


def test_fields_may_be_spelled_as_in_python_and_as_in_yaml():
    python = manifest("m", "hf://org/name", node_selector={"a": "b"}, autoscaling={"max_replicas": 3})
    assert python == manifest("m", "hf://org/name", nodeSelector={"a": "b"}, autoscaling={"maxReplicas": 3})


def test_a_namespace_of_its_own_wins():
    assert body_of(manifest("m", "hf://org/name", namespace="mine"), "team")["metadata"]["namespace"] == "mine"


def test_what_the_cluster_writes_is_not_sent_back():
    body = body_of(deployment_of(THERE), "other")
    assert body["metadata"] == {"name": "vicuna", "namespace": "team", "annotations": {"mine": "1"}}
    assert body["spec"] == THERE["spec"]
    assert "status" not in body


@pytest.mark.parametrize(
    "change", [{"spec": {**THERE["spec"], "new": 1}}, {"status": {"new": {}}}, {"status": {"replicas": "odd"}}]
)
def test_one_of_a_later_release_is_read_as_far_as_it_is_known(change):
    assert deployment_of(THERE | change).spec.model.source.text == "hf://org/name"


def test_one_that_cannot_be_read_says_what_to_do():
    with pytest.raises(
        errors.KubernetesError, match=r"'vicuna' is of a release .*spec\.model\.source.*upgrade fastchat-k8s"
    ):
        deployment_of(THERE | {"spec": {"model": {"source": "ftp://x"}}})


def test_all_that_is_wrong_is_named():
    with pytest.raises(errors.DeploymentInvalidError, match=r"spec\.model\.source: has no scheme.*spec\.gpus: "):
        manifest("m", "vicuna", gpus=-1)
