"""The chart as a package in a registry, and what it says of itself there."""

import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster.images.registry import answers
from cluster.skips import or_skip
from cluster.tools import packages
from support.eventually import eventually
from support.ports import free_port

from fastchat.v1alpha1.deployment import ModelDeployment

from .conftest import CHART, CRD

ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text())
VERSION = ABOUT["version"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ "host:port" of an empty registry."""
    with or_skip():
        packages.require(packages.REGISTRY)
    folder, address = tmp_path_factory.mktemp("registry"), f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        eventually(lambda: answers(address))
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def package(release_script, tmp_path_factory) -> Path:
    """As `make release` makes it."""
    return release_script.chart(tmp_path_factory.mktemp("dist"), VERSION)


@pytest.fixture(scope="module")
def release_script():
    """images/release.py, which no package has."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("release", CHART.parents[1] / "images/release.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_package_is_pushed_to_a_registry_and_rendered_from_there(helm, package, registry):
    place = f"oci://{registry}/charts"
    said = helm("push", str(package), place, "--plain-http")
    assert not said or "Pushed" in said
    arguments = ("--namespace=fastchat-system", "--kube-version=1.34")
    from_registry = helm(
        "template", "fastchat", f"{place}/fastchat", f"--version={VERSION}", "--plain-http", *arguments
    )
    assert from_registry == helm("template", "fastchat", str(CHART), *arguments)


def test_the_package_has_the_values_readme(package):
    with tarfile.open(package) as chart:
        readme = chart.extractfile("fastchat/README.md").read().decode()
    assert "| `gateway.replicas` | `2` |" in readme
    assert f"--version {VERSION}" in readme


def test_every_value_says_what_it_is_for():
    """A group speaks for what is in it."""
    text = (CHART / "README.md").read_text()
    silent = re.findall(r"^\| `([\w.]+)` \| `[^|]*` \|  \|$", text, re.M)
    spoken = set(re.findall(r"^\| `([\w.]+)` \|", text, re.M)) - set(silent)
    assert [name for name in silent if name.rpartition(".")[0] not in spoken] == []


def test_the_crd_that_artifact_hub_shows_is_ours():
    (told,) = yaml.safe_load(ABOUT["annotations"]["artifacthub.io/crds"])
    crd = yaml.safe_load((CHART / "files/modeldeployments.fastchat.io.yaml").read_text())
    versions = [each["name"] for each in crd["spec"]["versions"]]
    assert (told["name"], told["kind"]) == (CRD, crd["spec"]["names"]["kind"])
    assert told["version"] in versions


def test_the_example_that_artifact_hub_shows_is_valid():
    (example,) = yaml.safe_load(ABOUT["annotations"]["artifacthub.io/crdsExamples"])
    assert ModelDeployment.model_validate(example).spec.gpus == 1


def test_the_licence_is_the_projects():
    assert ABOUT["annotations"]["artifacthub.io/license"] == "Apache-2.0"
    assert "Apache License" in (CHART.parents[1] / "LICENSE").read_text()
