"""The recipes' manifests, checked by a real API server that has the custom resource definitions of other projects."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import yaml
from cluster.skips import or_skip
from cluster.tools.binaries import SOURCES, sources
from support.pages.blocks import ROOT, blocks

CRDS = {
    "Application": ("github.com/argoproj/argo-cd/v3", "manifests/crds/application-crd.yaml"),
    "HTTPRoute": ("sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
    "Kustomization": (
        "github.com/fluxcd/kustomize-controller",
        "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
    ),
    "OCIRepository": (
        "github.com/fluxcd/source-controller",
        "config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml",
    ),
    "ScaledObject": ("github.com/kedacore/keda/v2", "config/crd/bases/keda.sh_scaledobjects.yaml"),
}
"""Kind → Go module, and the file in it; versions are those of tests/cluster/go/recipes."""
BUILT_IN = {"Deployment", "HorizontalPodAutoscaler"}
NOT_TO_BE_HAD = {"HelmRelease"}
"""The Go module of Flux's helm-controller is not served here."""


def manifests() -> Iterator[dict[str, Any]]:
    """Every object that a recipe shows; a program's settings are none."""
    for page in sorted((ROOT / "docs/recipes").glob("*.md")):
        for block in (block for block in blocks(page) if block.language == "yaml"):
            yield from (each for each in yaml.safe_load_all(block.text) if "kind" in each)


def definition(kind: str) -> Path:
    module, file = CRDS[kind]
    version = re.search(rf"^\s*{re.escape(module)} (\S+)", (SOURCES / "recipes/go.mod").read_text(), re.M)
    assert version
    with or_skip():
        return sources("recipes", f"{module}@{version[1]}") / file


@pytest.fixture(scope="module")
def create(api_server) -> Iterator[Callable[[dict[str, Any]], str]]:
    """What kubectl says of an object that it would create, with fields that are unknown being errors."""
    files = [f"--filename={definition(kind)}" for kind in CRDS]
    api_server.kubectl("apply", "--server-side", *files)
    api_server.kubectl("wait", "--for=condition=Established", *files)
    namespace = f"recipes-{token_hex(4)}"  # other tests may have made and deleted the manifests' own
    api_server.kubectl("create", "namespace", namespace)

    def create(manifest: dict[str, Any]) -> str:
        manifest["metadata"]["namespace"] = namespace
        options = ("--dry-run=server", "--validate=strict", "--filename=-")
        return api_server.kubectl("create", *options, input=yaml.safe_dump(manifest))

    yield create
    api_server.kubectl("delete", "namespace", namespace, "--wait=false")
    api_server.kubectl("delete", "--wait=false", *files)


@pytest.mark.parametrize("kind", [*CRDS, *BUILT_IN])
def test_a_recipes_manifest_is_accepted_with_all_its_fields(kind, create):
    (manifest,) = (each for each in manifests() if each["kind"] == kind)
    assert f"{manifest['metadata']['name']} created (server dry run)" in create(manifest)


def test_a_field_that_another_projects_definition_does_not_have_is_found(create):
    (manifest,) = (each for each in manifests() if each["kind"] == "ScaledObject")
    manifest["spec"]["minReplicas"] = manifest["spec"].pop("minReplicaCount")
    with pytest.raises(RuntimeError, match=r'unknown field "spec\.minReplicas"'):
        create(manifest)


def test_every_kind_that_recipes_show_is_checked_here():
    assert {each["kind"] for each in manifests()} == CRDS.keys() | BUILT_IN | NOT_TO_BE_HAD
