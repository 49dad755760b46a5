"""What the chart makes for Prometheus and Grafana, held against what operator, gateways and workers really count."""

import json
import re
import subprocess
from collections.abc import Callable

import pytest
import yaml
from cluster.skips import or_skip
from cluster.tools.binaries import tools
from prometheus_client.parser import text_string_to_metric_families
from support.monitoring import samples

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_operator.plan import gateway, worker
from fastchat_operator.settings import Settings

MONITORS, ALERTS, DASHBOARD = (f"--set=monitoring.{part}=true" for part in ("podMonitors", "alerts", "dashboard"))
OF_TARGETS = {"namespace", "pod", "container", "endpoint", "job", "instance"}
"""Labels that Prometheus' operator gives whatever comes from a PodMonitor."""

MODEL = {
    "apiVersion": "fastchat.io/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "m", "uid": "1"},
    "spec": {"model": {"source": "hf://org/name"}},
}

Check = Callable[[str, str], str]


@pytest.fixture(scope="module")
def promcheck() -> Check:
    """Asks Prometheus' own code (tests/cluster/go/promcheck); raises RuntimeError with its complaint."""
    with or_skip():
        program = tools("promcheck")["promcheck"]

    def check(what: str, text: str) -> str:
        done = subprocess.run([program, what], input=text, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    return check


def monitors(helm, *arguments: str) -> dict[str, dict]:
    """The PodMonitors by name."""
    found = [each for each in helm.objects(MONITORS, *arguments) if each["kind"] == "PodMonitor"]
    return {each["metadata"]["name"]: each["spec"] for each in found}


def rules(helm) -> list[dict]:
    return [rule for group in helm.object("PrometheusRule", ALERTS)["spec"]["groups"] for rule in group["rules"]]


def panels(helm) -> list[dict]:
    maps = [each for each in helm.objects(DASHBOARD) if each["kind"] == "ConfigMap"]
    (text,) = (each["data"]["fastchat.json"] for each in maps if "fastchat.json" in each["data"])
    return [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]


def expressions(helm) -> list[str]:
    """Of every panel and every alert, with a number for Grafana's variable."""
    shown = [target["expr"] for panel in panels(helm) for target in panel["targets"]]
    return [text.replace("$__rate_interval", "5m") for text in (*shown, *(rule["expr"] for rule in rules(helm)))]


def counted() -> dict[str, set[str]]:
    """Every metric that operator, gateways and workers can show, and its labels."""
    families = [
        family
        for text in (samples.of_gateway(), samples.of_worker(), samples.of_operator())
        for family in text_string_to_metric_families(text)
    ]
    found: dict[str, set[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_nothing_of_it_is_there_by_default(helm):
    assert not {"PodMonitor", "PrometheusRule"} & {each["kind"] for each in helm.objects()}
    assert len([each for each in helm.objects() if each["kind"] == "ConfigMap"]) == 1


def test_prometheus_operator_knows_every_field(helm, promcheck):
    wanted = [each for each in helm.objects(MONITORS, ALERTS) if each["kind"] in ("PodMonitor", "PrometheusRule")]
    assert len(wanted) == 4
    promcheck("objects", yaml.safe_dump_all(wanted))
    wanted[0]["spec"]["podMetricEndpoints"] = []
    with pytest.raises(RuntimeError, match="podMetricEndpoints"):
        promcheck("objects", yaml.safe_dump_all(wanted))


def test_prometheus_takes_the_alerts(helm, promcheck):
    promcheck("rules", yaml.safe_dump(helm.object("PrometheusRule", ALERTS)["spec"]))
    with pytest.raises(RuntimeError, match="parse error"):
        promcheck("rules", "groups: [{name: a, rules: [{alert: A, expr: 'sum by ('}]}]")


def test_dashboard_and_alerts_ask_for_nothing_that_is_not_counted(helm, promcheck):
    asked = expressions(helm)
    real = counted()
    relabeled = {
        rule["targetLabel"]
        for monitor in monitors(helm).values()
        for rule in monitor["podMetricsEndpoints"][0].get("relabelings", [])
    }
    for expression, selected in zip(asked, json.loads(promcheck("selectors", json.dumps(asked))), strict=True):
        assert selected, expression
        for series in selected:
            assert series["metric"] in real, expression
            unknown = set(series["labels"]) - real[series["metric"]] - OF_TARGETS - relabeled
            assert not unknown, (expression, unknown)


def test_every_gateway_metric_is_on_the_dashboard_or_wakes_somebody(helm):
    names = {re.sub("_(bucket|sum|count)$", "", name) for name in counted() if name.startswith("fastchat_gateway_")}
    silent = {name for name in names if not any(name in text for text in expressions(helm))}
    assert silent == {"fastchat_gateway_keys", "fastchat_gateway_discovery_silent_seconds"}


def test_a_legend_names_labels_that_its_expression_keeps(helm):
    for target in (target for panel in panels(helm) for target in panel["targets"]):
        kept = {label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(", ")}
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, target


def test_an_alert_says_what_is_wrong_and_what_to_do(helm):
    names = [rule["alert"] for rule in rules(helm)]
    assert len(set(names)) == len(names)
    for rule in rules(helm):
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"].endswith(".")


def test_an_alert_names_labels_that_its_expression_keeps(helm):
    for rule in rules(helm):
        kept = {label for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(", ")}
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert named <= (kept or OF_TARGETS), rule["alert"]


def test_panels_do_not_lie_on_each_other(helm):
    places = [panel["gridPos"] for panel in panels(helm)]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))


def test_monitors_select_the_pods_that_the_operator_makes(helm):
    found = monitors(helm)
    model = ModelDeployment.model_validate(MODEL)
    made = {"fastchat-gateways": gateway.plan("team-a", Settings()), "fastchat-workers": worker.plan(model, Settings())}
    made = {name: next(each for each in objects if each["kind"] == "Deployment") for name, objects in made.items()}
    made["fastchat-operator"] = helm.object("Deployment")
    for name, deployment in made.items():
        pod = deployment["spec"]["template"]
        assert found[name]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        ports = [port["name"] for port in pod["spec"]["containers"][0]["ports"]]
        assert [each["port"] for each in found[name]["podMetricsEndpoints"]] == ports
    for name, other in (("fastchat-gateways", "fastchat-workers"), ("fastchat-workers", "fastchat-gateways")):
        labels = made[other]["spec"]["template"]["metadata"]["labels"]
        assert not found[name]["selector"]["matchLabels"].items() <= labels.items()


def test_monitors_look_where_models_are(helm):
    everywhere, some = monitors(helm), monitors(helm, "--set=namespaces={team-a,team-b}")
    for name in ("fastchat-gateways", "fastchat-workers"):
        assert everywhere[name]["namespaceSelector"] == {"any": True}
        assert some[name]["namespaceSelector"] == {"matchNames": ["team-a", "team-b"]}
    assert "namespaceSelector" not in everywhere["fastchat-operator"]  # its own


def test_the_namespace_that_the_operator_counts_by_stays(helm):
    assert {"namespace", "model"} == counted()["fastchat_operator_demand"]
    assert monitors(helm)["fastchat-operator"]["podMetricsEndpoints"][0]["honorLabels"]


def test_prometheus_finds_monitors_and_alerts_by_the_labels_given(helm):
    objects = helm.objects(MONITORS, ALERTS, "--set=monitoring.labels.release=prometheus")
    found = [each for each in objects if each["kind"] in ("PodMonitor", "PrometheusRule")]
    assert [each["metadata"]["labels"]["release"] for each in found] == ["prometheus"] * 4


def test_grafana_finds_the_dashboard_by_its_label(helm):
    (found,) = (each for each in helm.objects(DASHBOARD) if "grafana_dashboard" in each["metadata"]["labels"])
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["name"] == "fastchat-dashboard"


def test_with_monitors_gateways_show_their_metrics_to_everybody(helm):
    def arguments(*values: str) -> list[str]:
        text = helm.object("ConfigMap", *values)["data"]["operator.yaml"]
        return yaml.safe_load(text)["gateway"].get("args", [])

    assert arguments(MONITORS, "--set=gateway.args={--no-access-log}") == ["--no-access-log", "--open-metrics"]
    assert arguments() == []
