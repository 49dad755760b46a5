"""ModelDeployments between Python and the wire."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from fastchat._kube.kind import Kind, Object
from fastchat.errors import DeploymentInvalidError, KubernetesError
from fastchat.v1alpha1.deployment import GROUP, VERSION, ModelDeployment

KIND = Kind(f"{GROUP}/{VERSION}", "ModelDeployment", "modeldeployments")
Given = ModelDeployment | Mapping[str, Any]
"""A ModelDeployment, or its manifest as YAML and JSON have it."""

_OURS = ("name", "namespace", "labels", "annotations")
"""Of `metadata` what a manifest may say; the rest is the API server's."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def manifest(
    name: str,
    source: str,
    *,
    namespace: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> ModelDeployment:
    """A ModelDeployment of the model at `source`, such as `hf://lmsys/vicuna-7b-v1.5`.

    `spec`: further fields of `spec`, in Python's or in YAML's spelling: `gpus=1`, `engine={"type": "VLLM"}`.

    Raises:
        DeploymentInvalidError: names the fields that are wrong.
    """
    about = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
    metadata = {field: value for field, value in about.items() if value is not None}
    model = {"source": source, **spec.pop("model", {})}
    whole = {"apiVersion": KIND.api_version, "kind": KIND.name, "metadata": metadata, "spec": {"model": model, **spec}}
    return _checked(whole)


def body_of(given: Given, namespace: str) -> dict[str, Any]:
    """What is sent of a ModelDeployment: what was set of it, without what the cluster writes.

    `namespace`: for one that names none.

    Raises:
        DeploymentInvalidError: names the fields that are wrong.
    """
    deployment = given if isinstance(given, ModelDeployment) else _checked(given)
    whole = deployment.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"status"})
    metadata = {field: whole["metadata"][field] for field in _OURS if field in whole["metadata"]}
    annotations = metadata.get("annotations", {})
    if _LAST_APPLIED in annotations:
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    metadata["namespace"] = metadata.get("namespace") or namespace
    return {"apiVersion": KIND.api_version, "kind": KIND.name, "metadata": metadata, "spec": whole["spec"]}


def deployment_of(thing: Object) -> ModelDeployment:
    """The ModelDeployment that the API server has told of, without fields that only a later release knows.

    Raises:
        KubernetesError: it is of a release that this one does not understand.
    """
    metadata = {name: value for name, value in thing["metadata"].items() if name != "managedFields"}
    whole = {**thing, "apiVersion": KIND.api_version, "kind": KIND.name, "metadata": metadata}
    without_status = {name: part for name, part in whole.items() if name != "status"}
    tries: tuple[tuple[Object, Literal["ignore"] | None], ...]
    tries = ((whole, None), (whole, "ignore"), (without_status, "ignore"))
    for known, extra in tries:
        try:
            return ModelDeployment.model_validate(known, by_alias=True, by_name=False, extra=extra)
        except ValidationError as error:
            wrong = error
    raise KubernetesError(
        f"ModelDeployment {metadata.get('name')!r} is of a release that this one does not understand "
        f"({_problems(wrong)}): upgrade fastchat-k8s"
    )


def _checked(manifest: Mapping[str, Any]) -> ModelDeployment:
    try:
        return ModelDeployment.model_validate(manifest)
    except ValidationError as error:
        raise DeploymentInvalidError(f"not a ModelDeployment: {_problems(error)}") from None


def _problems(invalid: ValidationError) -> str:
    """Every field that is wrong, and how."""
    errors = invalid.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'manifest'}: {each['msg']}" for each in errors)
