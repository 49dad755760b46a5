"""What the chart makes of values, before any API server sees it."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from fastchat._kube.kind import Kind
from fastchat_operator.kube.kind import CLUSTER_ROLE_BINDING, MADE, MODEL_DEPLOYMENT, POD, REPLICA_SET
from fastchat_operator.settings import RESERVED_IN_GATEWAYS, RESERVED_IN_WORKERS, Settings

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/fastchat"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
CRD = "modeldeployments.fastchat.io.yaml"
READ = {"get", "list", "watch"}


def settings(helm, folder: Path, *arguments: str) -> Settings:
    """What the operator reads from its ConfigMap."""
    file = folder / "operator.yaml"
    file.write_text(helm.object("ConfigMap", *arguments)["data"]["operator.yaml"])
    return Settings.load(file)


def images(helm, *arguments: str) -> list[str]:
    """This release's images of the operator, the gateway and the workers."""
    rendered = yaml.safe_load(helm.object("ConfigMap", *arguments)["data"]["operator.yaml"])["release"]
    pod = helm.object("Deployment", *arguments)["spec"]["template"]["spec"]
    return [pod["containers"][0]["image"], rendered["gateway"], rendered["worker"]]


def grants(role: dict) -> dict[tuple[str, str], set[str]]:
    """(group, resource, with the names of those that it is about) → verbs."""
    return {
        (group, " ".join([resource, *rule.get("resourceNames", ())])): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def resource(kind: Kind) -> tuple[str, str]:
    return kind.group, kind.plural


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_complain_about(helm, values):
    assert "0 chart(s) failed" in helm("lint", "--strict", "--kube-version=1.34", str(CHART), f"--values={values}")


def test_the_charts_crd_is_the_one_in_crds():
    assert (CHART / "files" / CRD).read_bytes() == (ROOT / "crds" / CRD).read_bytes(), "run `make crds`"


def test_the_crd_is_rendered_as_it_is_written(helm):
    written = yaml.safe_load((ROOT / "crds" / CRD).read_text())
    assert helm.object("CustomResourceDefinition")["spec"] == written["spec"]


def test_chart_and_package_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["appVersion"] == chart["version"] == package


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_operator_takes_the_settings(helm, tmp_path, values):
    assert settings(helm, tmp_path, f"--values={values}").leader_election.name == "fastchat-operator"


def test_the_charts_defaults_are_the_operators_own(helm, tmp_path):
    rendered, own = settings(helm, tmp_path), Settings()
    assert rendered.release.vllm == own.release.vllm
    named: dict[str, object] = {"release": own.release}
    named["leader_election"] = rendered.leader_election.model_copy(update={"name": None})
    assert rendered.model_copy(update=named) == own


def test_every_setting_is_a_value(helm, tmp_path):
    """Of parts that say nothing by default, only the schema knows the fields."""
    known = yaml.safe_load((CHART / "values.schema.json").read_text())["properties"]
    for name, part in Settings.model_json_schema(by_alias=True)["$defs"].items():
        value = f"{name[0].lower()}{name[1:]}"
        if value in known:
            missing = part["properties"].keys() - known[value]["properties"].keys() - {"name"}
            assert not missing, f"{value}: {missing}"


def test_values_of_gateways_and_workers_arrive(helm, tmp_path):
    arrived = settings(helm, tmp_path, f"--values={Path(__file__).parent / 'values/gpu-nodes.yaml'}")
    assert arrived.gateway.replicas == 4
    assert arrived.gateway.grace_period_seconds == 0
    assert arrived.gateway.args == ["--max-body-bytes=33554432", "--no-access-log"]
    assert [(each.name, each.value) for each in arrived.gateway.env] == [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.monitoring:4318"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.05"),
    ]
    assert arrived.gateway.priority_class_name == "gateways"
    assert [each.value_from for each in arrived.worker.env] == [{"fieldRef": {"fieldPath": "spec.nodeName"}}]
    assert arrived.worker.node_selector == {"pool": "gpu"}
    assert [each.key for each in arrived.worker.tolerations] == ["gpu", "spot"]
    assert arrived.worker.runtime_class_name == "nvidia"
    assert arrived.resync_seconds == 300


def test_origins_of_web_pages_arrive(helm, tmp_path):
    given = '--set-json=gateway.allowedOrigins=["https://a.example", "*"]'
    assert settings(helm, tmp_path, given).gateway.allowed_origins == ["https://a.example", "*"]
    assert settings(helm, tmp_path).gateway.allowed_origins == []


def test_that_gateways_have_no_page_arrives(helm, tmp_path):
    assert not settings(helm, tmp_path, "--set=gateway.page=false").gateway.page
    assert settings(helm, tmp_path).gateway.page


def test_that_gateways_require_keys_arrives(helm, tmp_path):
    assert settings(helm, tmp_path, "--set=gateway.requireApiKeys=true").gateway.require_api_keys
    assert not settings(helm, tmp_path).gateway.require_api_keys


def test_values_of_the_operator_arrive_in_its_pod(helm):
    template = helm.object("Deployment", f"--values={Path(__file__).parent / 'values/two-operators.yaml'}")["spec"]
    pod = template["template"]["spec"]
    assert template["replicas"] == 2
    assert template["template"]["metadata"]["labels"]["team"] == "platform"
    assert template["template"]["metadata"]["annotations"]["example.com/scrape"] == "true"
    assert pod["tolerations"][0]["key"] == "node-role.kubernetes.io/infra"
    assert pod["nodeSelector"] == {"node-role.kubernetes.io/infra": ""}
    assert pod["affinity"]["podAntiAffinity"]
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"} in pod["containers"][0]["env"]
    assert pod["containers"][0]["args"][-1] == "--health-port=8080"


def test_images_come_from_one_registry_with_one_tag(helm):
    tagged = images(helm, "--set=images.registry=registry.example.com/ai,images.tag=1.2.3")
    assert tagged == [f"registry.example.com/ai/fastchat-{part}:1.2.3" for part in ("operator", "gateway", "worker")]


def test_without_a_registry_images_are_those_of_make_images(helm):
    assert images(helm, "--set=images.registry=,images.tag=dev") == [
        f"fastchat-{part}:dev" for part in ("operator", "gateway", "worker")
    ]


def test_a_whole_reference_stands_for_itself(helm, tmp_path):
    assert images(helm, "--set=images.operator=example.com/o@sha256:00")[0] == "example.com/o@sha256:00"
    mine = settings(helm, tmp_path, "--set=images.worker=example.com/w@sha256:00")
    assert mine.image("worker") == "example.com/w@sha256:00"


def test_registry_and_tag_are_the_releases_and_name_no_image(helm, tmp_path):
    """An upgrade that changes them leaves pods as they are."""
    tagged = settings(helm, tmp_path, "--set=images.registry=registry.example.com/ai,images.tag=1.2.3")
    assert tagged.images == Settings().images
    assert tagged.image("worker") == "registry.example.com/ai/fastchat-worker:1.2.3"


def test_the_guide_names_the_vllm_that_is_taken():
    for text in (CHART / "values.yaml", ROOT / "docs/install.md"):
        assert Settings().release.vllm in text.read_text(), text


def test_secrets_of_registries_are_for_the_operator_its_test_and_what_it_starts(helm, tmp_path):
    private = "--set=images.pullSecrets={registry-password}"
    pods = [helm.object("Deployment", private)["spec"]["template"], helm.object("Pod", private)]
    assert [pod["spec"]["imagePullSecrets"] for pod in pods] == [[{"name": "registry-password"}]] * 2
    assert settings(helm, tmp_path, private).images.pull_secrets == ["registry-password"]


def test_the_operators_rights_are_what_its_code_calls(helm):
    wanted = {resource(kind): READ | {"create", "patch", "delete"} for kind in MADE}
    wanted[resource(MODEL_DEPLOYMENT)] = READ  # it gets none, but gateways do, and nobody grants what they lack
    wanted["fastchat.io", "modeldeployments/status"] = wanted["fastchat.io", "modeldeployments/scale"] = {"patch"}
    wanted["", "secrets fastchat-internal"] = {"get", "patch", "delete"}
    wanted["", "secrets"] = {"create"}
    wanted[resource(POD)] = {"list", "watch", "patch"}
    wanted[resource(REPLICA_SET)] = {"list", "watch"}
    wanted[resource(CLUSTER_ROLE_BINDING)] = {"list"}
    wanted["", "events"] = {"create"}
    wanted["discovery.k8s.io", "endpointslices"] = READ
    assert grants(helm.object("ClusterRole")) == wanted


def test_limited_to_namespaces_it_has_the_same_rights_in_each_and_nothing_cluster_wide(helm):
    objects = helm.objects(f"--values={Path(__file__).parent / 'values/namespaces.yaml'}")
    roles = {each["metadata"]["namespace"]: grants(each) for each in objects if each["kind"] == "Role"}
    everywhere = grants(helm.object("ClusterRole"))
    assert everywhere.pop(resource(CLUSTER_ROLE_BINDING)) == {"list"}
    assert roles["team-a"] == roles["team-b"] == everywhere
    assert not [each for each in objects if "namespace" not in each["metadata"]]


def test_several_operators_are_not_all_evicted_at_once(helm):
    assert helm.object("PodDisruptionBudget", "--set=operator.replicas=2")["spec"]["maxUnavailable"] == 1
    assert not [each for each in helm.objects() if each["kind"] == "PodDisruptionBudget"]


def test_a_network_policy_lets_the_operator_be_asked_for_its_health_only(helm):
    policy = helm.object("NetworkPolicy")["spec"]
    pod = helm.object("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= pod.items()
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8080}]}]


def test_gateways_that_do_not_admit_everyone_admit_the_operator(helm, tmp_path):
    values = f"--values={Path(__file__).parent / 'values/network-policies.yaml'}"
    first, *others = settings(helm, tmp_path, values).network_policy.gateway_from
    pod = helm.object("Deployment", values)["spec"]["template"]["metadata"]["labels"]
    assert first["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "fastchat-system"}}
    assert first["podSelector"]["matchLabels"].items() <= pod.items()
    assert len(others) == 2
    assert settings(helm, tmp_path).network_policy.gateway_from == []


def test_network_policies_are_left_out_where_a_value_says_so(helm, tmp_path):
    without = "--set=networkPolicies.enabled=false"
    assert not settings(helm, tmp_path, without).network_policy.enabled
    assert not [each for each in helm.objects(without) if each["kind"] == "NetworkPolicy"]


def test_only_a_change_of_settings_rolls_the_operator(helm):
    def pod(*arguments: str) -> dict:
        return helm.object("Deployment", *arguments)["spec"]["template"]

    assert pod("--set=gateway.replicas=3") != pod()
    assert pod("--set=rbac.aggregate=false,admissionPolicies.modelDeployments.enabled=true") == pod()


def test_a_release_of_another_name_has_names_of_its_own(helm):
    rendered = list(yaml.safe_load_all(helm("template", "blue", str(CHART), "--kube-version=1.34")))
    checked = ("objects", "pods", "rights", "bindings", "services", "idleness")
    assert {each["metadata"]["name"] for each in rendered} == {
        *(f"blue-fastchat-operator-{each}.default" for each in checked),
        "blue-fastchat-edit",
        "blue-fastchat-operator",
        "blue-fastchat-operator-lease",
        "blue-fastchat-operator-test",
        "blue-fastchat-view",
        "modeldeployments.fastchat.io",
    }


def test_it_can_be_part_of_another_chart(helm, tmp_path):
    shutil.copytree(CHART, tmp_path / "platform/charts/fastchat")
    (tmp_path / "platform/Chart.yaml").write_text("{apiVersion: v2, name: platform, version: 1.0.0}")
    (tmp_path / "platform/values.yaml").write_text("{global: {region: eu}, fastchat: {gateway: {replicas: 3}}}")
    objects = helm.objects(chart=tmp_path / "platform")
    text = next(each for each in objects if each["kind"] == "ConfigMap")["data"]["operator.yaml"]
    assert yaml.safe_load(text)["gateway"]["replicas"] == 3


def test_every_value_that_the_installation_guide_names_is_one():
    guide = (ROOT / "docs/install.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    named = re.findall(rf"\b(?:{'|'.join(values)})(?:\.[A-Za-z]+)+", guide)
    assert len(named) > 20
    for path in named:
        value = values
        for key in path.split("."):
            assert key in value, path
            value = value[key]


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("gateway.replica=3", "at '/gateway': additional properties 'replica' not allowed"),
        ("gatway.replicas=3", "additional properties 'gatway' not allowed"),
        ("gateway.replicas=two", "at '/gateway/replicas': got string, want integer"),
        ("gateway.replicas=0", "at '/gateway/replicas': minimum: got 0, want 1"),
        ("operator.replicas=null", "at '/operator': missing property 'replicas'"),
        ("images=null", "missing property 'images'"),
        ("images.pullPolicy=always", "at '/images/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("namespaces={Team A}", "at '/namespaces/0': 'Team A' does not match pattern"),
        ("namespaces={team,team}", "at '/namespaces': items at 0 and 1 are equal"),
        ("worker.resources.limits.memory=64GB", "at '/worker/resources/limits/memory': '64GB' does not match pattern"),
        ("worker.tolerations[0].effect=None", "at '/worker/tolerations/0/effect': value must be one of 'NoSchedule'"),
        ("gateway.env[0].value=x", "at '/gateway/env/0': missing property 'name'"),
        ("gateway.env[0].name=1A", "at '/gateway/env/0/name': '1A' does not match pattern"),
        ("worker.env[0].name=A,worker.env[0].value=1", "at '/worker/env/0/value': got number, want string"),
        ("worker.env[0].name=A,worker.env[0].valueFrom.secret=x", "additional properties 'secret' not allowed"),
        ("worker.env[0].name=A,worker.env[0].value=x,worker.env[0].valueFrom.fieldRef.fieldPath=y", "must be ''"),
        ("worker.env[0].name=A,worker.env[1].name=A", "worker.env: A is given twice"),
        ("networkPolicies.gatewayFrom[0].pods=x", "at '/networkPolicies/gatewayFrom/0': additional properties 'pods'"),
        ("crds.keep=null", "at '/crds': missing property 'keep'"),
        ("leaderElection.renewSeconds=8", "renewSeconds must be at most half of leaderElection.leaseSeconds"),
    ],
)
def test_a_mistyped_value_is_refused_with_its_place(helm, mistake, complaint):
    with pytest.raises(RuntimeError) as refused:
        helm.objects("--set", mistake)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(("part", "names"), [("gateway", RESERVED_IN_GATEWAYS), ("worker", RESERVED_IN_WORKERS)])
def test_a_variable_that_fastchat_sets_itself_is_refused(helm, part, names):
    for name in names:
        with pytest.raises(RuntimeError, match=rf"{part}\.env: {name} is set by FastChat itself: leave it out"):
            helm.objects(f"--set=worker.env[0].name=MINE,{part}.env[0].name={name}")


def test_the_values_that_the_guide_has_for_traces_reach_gateways_and_workers(helm, tmp_path):
    guide = (ROOT / "docs/observability.md").read_text()
    (tmp_path / "values.yaml").write_text(guide.split("```yaml\n")[1].split("```")[0])
    arrived = settings(helm, tmp_path, f"--values={tmp_path / 'values.yaml'}")
    assert arrived.gateway.env == arrived.worker.env
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in {each.name for each in arrived.worker.env}
