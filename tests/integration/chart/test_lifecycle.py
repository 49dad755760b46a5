"""A release from installation to removal: CRD and settings follow, ModelDeployments stay."""

import shutil
from pathlib import Path

import pytest
import yaml

CHART = Path(__file__).parents[3] / "charts/fastchat"
CRD = "modeldeployments.fastchat.io"
MODEL = """
apiVersion: fastchat.io/v1alpha1
kind: ModelDeployment
metadata: {name: smollm2}
spec: {model: {source: hf://HuggingFaceTB/SmolLM2-135M-Instruct}}
"""


@pytest.fixture
def newer(tmp_path) -> Path:
    """The chart with a CRD that has one more field."""
    chart = shutil.copytree(CHART, tmp_path / "fastchat")
    file = chart / f"files/{CRD}.yaml"
    crd = yaml.safe_load(file.read_text())
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["colour"] = {
        "type": "string"
    }
    file.write_text(yaml.safe_dump(crd))
    return chart


@pytest.fixture
def served(release, api_server, make_namespace):
    """A release, and a team's ModelDeployment; tells whether that is there and stays."""
    team = make_namespace()

    def is_there() -> bool:
        found = api_server.kubectl("get", "modeldeployments", f"--namespace={team}", "--output=name")
        going = "deletionTimestamp" in release.get("crd", CRD)["metadata"]
        return found == "modeldeployment.fastchat.io/smollm2\n" and not going

    release.install()
    api_server.kubectl("apply", f"--namespace={team}", "--filename=-", input=MODEL)
    return is_there


def has_colour(release) -> bool:
    schema = release.get("crd", CRD)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return "colour" in schema["properties"]["spec"]["properties"]


def checksum(release) -> str:
    return release.get("deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]


def test_an_upgrade_brings_a_newer_crd_and_keeps_the_models(release, served, newer):
    assert not has_colour(release)
    release.helm("upgrade", str(newer))
    assert has_colour(release)
    assert served()


def test_an_upgrade_with_other_settings_rolls_the_operator(release):
    release.install()
    before = checksum(release)
    release.helm("upgrade", str(CHART))
    assert checksum(release) == before
    release.helm("upgrade", str(CHART), "--set=gateway.replicas=3")
    assert checksum(release) != before
    assert yaml.safe_load(release.settings())["gateway"]["replicas"] == 3


def test_a_rollback_brings_back_settings_and_crd_and_keeps_the_models(release, served, newer):
    before = checksum(release)
    release.helm("upgrade", str(newer), "--set=gateway.replicas=3")
    release.helm("rollback", "1")
    assert checksum(release) == before
    assert not has_colour(release)
    assert served()


def test_a_list_of_namespaces_takes_the_cluster_wide_rights_back(release, api_server, make_namespace):
    release.install()
    release.helm("upgrade", str(CHART), f"--set=namespaces={{{make_namespace()}}}")
    roles = api_server.kubectl("get", "clusterroles,clusterrolebindings", "--output=name")
    assert "fastchat-operator" not in roles


def test_uninstalling_leaves_the_models_and_nothing_of_the_release(release, served, api_server):
    release.helm("uninstall")
    assert served()
    kinds = "deployments,configmaps,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
    assert "fastchat" not in api_server.kubectl("get", kinds, f"--namespace={release.namespace}", "--output=name")


def test_what_was_uninstalled_can_be_installed_again(release, served):
    release.helm("uninstall")
    release.install()
    assert served()


def test_a_crd_that_is_no_longer_installed_stays(release, served):
    release.helm("upgrade", str(CHART), "--set=crds.install=false")
    assert served()


def test_without_keep_the_crd_goes_with_the_release(release, api_server):
    release.install("--set=crds.keep=false")
    release.helm("uninstall")
    api_server.kubectl("wait", "--for=delete", f"crd/{CRD}", "--timeout=30s")


def test_a_crd_of_another_release_is_not_taken_over_unless_asked_to(release, helm):
    release.install()
    another = [
        "install",
        "another",
        str(CHART),
        "--namespace=default",
        "--set=namespaces={default}",
        "--dry-run=server",
    ]
    with pytest.raises(RuntimeError, match="invalid ownership metadata"):
        helm(*another)
    helm(*another, "--take-ownership")
