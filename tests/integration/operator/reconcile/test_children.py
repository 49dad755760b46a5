"""What the operator makes of ModelDeployments on a real API server, and keeps as it is."""

import time
from pathlib import Path

import pytest
import yaml
from integration.operator.team import GATEWAY_KINDS, model
from support.eventually import eventually

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import worker_name
from fastchat_operator.kube.kind import kind_of
from fastchat_operator.observe.drift import drifted
from fastchat_operator.plan import gateway, worker
from fastchat_operator.settings import Settings

QUICKSTART = Path(__file__).parents[4] / "examples" / "quickstart.yaml"
CHILD = {"deployments", "services"}
GATEWAY = "fastchat-gateway"

# Everything that the API server might write its own way.
EVERYTHING = {
    "model": {"source": "s3://bucket/x", "name": "org/name", "aliases": ["gpt-4"], "secretName": "aws"},
    "engine": {
        "type": "VLLM",
        "args": ["--max-model-len=4096"],
        "env": [
            {"name": "EMPTY", "value": ""},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1000m"}}},
        ],
    },
    "gpus": 2,
    "resources": {"requests": {"cpu": "2000m", "memory": "1024Mi"}, "limits": {"cpu": 4, "memory": "1.5Gi"}},
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists", "effect": "NoExecute"}],
    "affinity": {
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}]},
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []},
        "podAffinity": {},
    },
    "runtimeClassName": "nvidia",
    "priorityClassName": "high",
    "serviceAccountName": "models",
    "cache": {"sizeLimit": "1000Gi"},
    "volumes": [
        {"name": "plain"},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}},
        {"name": "certificates", "configMap": {"name": "ca", "defaultMode": 288, "optional": False, "items": []}},
        {"name": "old", "gcePersistentDisk": {"pdName": "x"}},
    ],
    "volumeMounts": [
        {"name": "memory", "mountPath": "/dev/shm"},
        {"name": "memory", "mountPath": "/scratch/", "readOnly": False},
        {"name": "certificates", "mountPath": "/etc/ssl/certs", "readOnly": True},
    ],
    "replicas": 3,
    "autoscaling": {"maxReplicas": 8},
    "maxSurge": 1,
    "terminationGracePeriodSeconds": 0,
}


@pytest.fixture(autouse=True, scope="module")
def running(operator):
    """One operator for all namespaces."""


def settled(team, *names):
    """Wait until all is made: the status comes last, of the gateway the PodDisruptionBudget."""
    eventually(lambda: all(team.reason(name) for name in names) and team.names("poddisruptionbudgets"))


def writes_to(api_server, team):
    return [each for each in api_server.writes("fastchat-operator") if f" {team.name}/" in each]


def replicas(team, name):
    return (team.get("deployments", name) or {"spec": {}})["spec"].get("replicas")


# --- what is made


def test_the_quickstart_becomes_exactly_what_is_planned(api_server, team):
    api_server.kubectl("apply", f"--namespace={team.name}", f"--filename={QUICKSTART}")
    names = [each["metadata"]["name"] for each in yaml.safe_load_all(QUICKSTART.read_text())]
    settled(team, *names)
    models = [ModelDeployment.parse(team.get("modeldeployments", name)) for name in names]
    planned = [each for one in models for each in worker.plan(one, Settings())]
    planned += gateway.plan(team.name, Settings())
    for desired in planned:
        assert not drifted(desired, team.get(kind_of(desired).plural, desired["metadata"]["name"]))
    assert team.names("deployments") == team.names("services") == {GATEWAY, *map(worker_name, names)}
    assert team.condition(names[0]) == ("False", "Starting", "0 of 1 workers ready: the workers are being started")


def test_each_object_is_written_once_and_then_the_status(api_server, team):
    team.apply(model("a"))
    settled(team, "a")
    written = writes_to(api_server, team)
    ours = [each for each in written if "events" not in each and "/status" not in each]
    assert len(ours) == len(set(ours)) == len(CHILD) + len(GATEWAY_KINDS) + len({"secrets", "networkpolicy of workers"})


def test_a_restart_and_further_passes_over_everything_write_nothing(api_server, team, start_operator):
    team.apply(model("a"), model("b.c", gpus=1), model("everything", **EVERYTHING))
    settled(team, "a", "b.c", "everything")
    assert team.reason("everything") == "Starting"
    eventually(lambda: team.reason("everything", "Autoscaling"))
    before = writes_to(api_server, team)
    again = start_operator(namespaces=[team.name], resyncSeconds=1)
    eventually(lambda: again.says(f"acting on {team.name}"))
    time.sleep(2.5)
    assert again.stop() == 0
    assert writes_to(api_server, team) == before


def test_a_model_in_the_namespace_default_is_one_like_any_other(admin, make_namespace, request):
    default = make_namespace("default")
    default.apply(model("a"))
    settled(default, "a")
    assert default.names("deployments") == {GATEWAY, "a-worker"}


ENGINES = [{"type": "Transformers"}, {"type": "VLLM"}, {"type": "Custom", "image": "registry.example/sim:1"}]


def test_every_pod_is_let_into_a_namespace_that_enforces_the_restricted_standard(admin, team):
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    admin.call("PATCH", f"api/v1/namespaces/{team.name}", label, "application/merge-patch+json")
    sources = ["hf://a/b", "s3://bucket", "pvc://claim", "file:///m"]
    team.apply(
        *(
            model(f"m{i}{j}", engine=e, model={"source": s})
            for i, e in enumerate(ENGINES)
            for j, s in enumerate(sources)
        )
    )
    eventually(lambda: len(team.names("deployments")) == len(ENGINES) * len(sources) + 1)
    team.create("serviceaccounts", {"metadata": {"name": "unused"}})
    for name in team.names("deployments"):
        template = team.get("deployments", name)["spec"]["template"]
        team.create(
            "pods", template | {"metadata": {"name": "try", "labels": template["metadata"]["labels"]}}, dryRun="All"
        )


# --- what is put right


def change_child(team):
    team.patch("deployments", "a-worker", {"spec": {"replicas": 7, "revisionHistoryLimit": 9}})
    team.patch("services", "a-worker", {"spec": {"selector": {"x": "y"}}})
    return lambda: replicas(team, "a-worker") == 1 and "x" not in team.get("services", "a-worker")["spec"]["selector"]


def drop_child(team):
    team.delete("services", "a-worker")
    team.delete("deployments", "a-worker")
    return lambda: {"a-worker", GATEWAY} == team.names("services") == team.names("deployments")


def unlabel_child(team):
    label = "app.kubernetes.io/managed-by"
    team.patch("deployments", "a-worker", {"metadata": {"labels": {label: None}}})
    return lambda: label in team.get("deployments", "a-worker")["metadata"]["labels"]


def disown_child(team):
    labels = {"fastchat.io/model-deployment": None}
    team.patch(
        "deployments", "a-worker", {"metadata": {"ownerReferences": None, "annotations": None, "labels": labels}}
    )
    return lambda: team.get("deployments", "a-worker")["metadata"].get("ownerReferences")


def change_gateway(team):
    team.patch("deployments", GATEWAY, {"spec": {"replicas": 0}})
    rule = {"apiGroups": [""], "resources": ["endpoints"], "verbs": ["get"]}
    team.patch("roles", GATEWAY, {"rules": [rule]})
    return lambda: replicas(team, GATEWAY) == 2 and len(team.get("roles", GATEWAY)["rules"]) == 2


def drop_gateway(team):
    for kind in GATEWAY_KINDS:
        team.delete(kind, GATEWAY)
    return lambda: all(team.get(kind, GATEWAY) for kind in GATEWAY_KINDS)


MISHAPS = (change_child, drop_child, unlabel_child, disown_child, change_gateway, drop_gateway)


@pytest.mark.parametrize("mishap", MISHAPS, ids=lambda mishap: mishap.__name__)
def test_what_somebody_did_to_an_object_is_put_right_at_once(team, mishap):
    team.apply(model("a"))
    settled(team, "a")
    eventually(mishap(team))


def test_what_somebody_added_to_an_object_stays(team):
    team.apply(model("a"))
    settled(team, "a")
    team.patch("deployments", "a-worker", {"metadata": {"labels": {"team": "x"}}, "spec": {"replicas": 4}})
    eventually(lambda: replicas(team, "a-worker") == 1)
    assert team.get("deployments", "a-worker")["metadata"]["labels"]["team"] == "x"


# --- what follows the spec


def test_the_workers_follow_kubectl_scale_also_with_an_autoscaler(api_server, team):
    team.apply(model("a"), model("b", autoscaling={"maxReplicas": 8}))
    settled(team, "a", "b")
    for name in ("a", "b"):
        api_server.kubectl("scale", f"--namespace={team.name}", f"md/{name}", "--replicas=3")
    eventually(lambda: replicas(team, "a-worker") == replicas(team, "b-worker") == 3)
    eventually(lambda: team.get("modeldeployments", "a")["status"]["ready"] == "0/3")


def test_a_field_that_is_left_out_again_goes_from_the_deployment(team):
    team.apply(model("a", nodeSelector={"pool": "gpu"}, priorityClassName="high"))
    settled(team, "a")
    team.apply(model("a"))

    def pod():
        return team.get("deployments", "a-worker")["spec"]["template"]["spec"]

    eventually(lambda: not {"nodeSelector", "priorityClassName"} & pod().keys())


def test_the_gateway_goes_with_the_last_model_and_no_other_namespace_is_touched(api_server, team, make_namespace):
    other = make_namespace()
    for namespace in (team, other):
        namespace.apply(model("a"), model("b"))
        settled(namespace, "a", "b")
    before = writes_to(api_server, other)
    team.delete("modeldeployments", "a")
    eventually(lambda: team.get("modeldeployments", "a") is None)
    assert team.get("deployments", GATEWAY)
    team.delete("modeldeployments", "b")
    eventually(lambda: not any(team.get(kind, GATEWAY) for kind in GATEWAY_KINDS))
    assert writes_to(api_server, other) == before


def test_a_model_that_is_being_deleted_gets_no_children_back(team):
    team.apply(model("a"))
    settled(team, "a")
    team.delete("modeldeployments", "a", propagationPolicy="Foreground")
    eventually(lambda: team.get("modeldeployments", "a")["metadata"].get("deletionTimestamp"))
    team.delete("deployments", "a-worker")
    team.apply(model("marker"))
    settled(team, "marker")
    assert team.get("deployments", "a-worker") is None
    team.patch("modeldeployments", "a", {"metadata": {"finalizers": None}})


def test_the_children_of_a_model_that_was_made_anew_belong_to_the_new_one(team):
    team.apply(model("a"))
    settled(team, "a")
    team.delete("modeldeployments", "a")
    team.apply(model("a", gpus=1))
    uid = team.get("modeldeployments", "a")["metadata"]["uid"]

    def owners(kind):
        return [each["uid"] for each in team.get(kind, "a-worker")["metadata"]["ownerReferences"]]

    eventually(lambda: owners("deployments") == owners("services") == [uid])
    assert team.get("deployments", "a-worker")["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


# --- what is refused


FOREIGN = {
    "metadata": {"name": "a-worker", "labels": {"whose": "theirs"}},
    "spec": {
        "selector": {"matchLabels": {"x": "y"}},
        "template": {"metadata": {"labels": {"x": "y"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}


def test_an_object_of_somebody_else_is_not_touched_and_the_status_says_so(team):
    version = team.create("deployments", FOREIGN)["metadata"]["resourceVersion"]
    team.apply(model("a"))
    message = "Deployment 'a-worker' exists already and was not made by FastChat: rename or delete it"
    eventually(lambda: team.condition("a") == ("False", "ApplyFailed", message))
    assert team.get("deployments", "a-worker")["metadata"]["resourceVersion"] == version
    team.delete("deployments", "a-worker")
    eventually(lambda: team.reason("a") == "Starting")


def test_a_gateway_of_somebody_else_is_not_touched_and_every_model_says_so(team):
    team.create("services", {"metadata": {"name": GATEWAY}, "spec": {"ports": [{"port": 9}]}})
    team.apply(model("a"), model("b"))
    message = "Service 'fastchat-gateway' exists already and was not made by FastChat: rename or delete it"
    eventually(lambda: {team.condition(name, "GatewayReady") for name in "ab"} == {("False", "ApplyFailed", message)})
    assert team.get("services", GATEWAY)["spec"]["ports"][0]["port"] == 9
    team.delete("services", GATEWAY)
    eventually(lambda: {team.reason(name, "GatewayReady") for name in "ab"} == {"Starting"})


def test_two_models_whose_workers_would_have_one_name_do_not_fight_for_it(api_server, team):
    dotted = "a.b"
    plain = worker_name(dotted).removesuffix("-worker")
    team.apply(model(dotted))
    settled(team, dotted)
    team.apply(model(plain))
    message = f"Service '{plain}-worker' belongs to the ModelDeployment 'a.b': rename one of the two"
    eventually(lambda: team.condition(plain) == ("False", "ApplyFailed", message))
    written = writes_to(api_server, team)
    team.patch("modeldeployments", dotted, {"metadata": {"labels": {"touched": "yes"}}})
    time.sleep(1)
    assert writes_to(api_server, team) == written
    assert team.reason(dotted) == "Starting"


REFUSED = {
    "unknown field": (
        {"affinity": {"nodeAfinity": {}}},
        ".spec.template.spec.affinity.nodeAfinity: field not declared",
    ),
    "invalid value": ({"nodeSelector": {"a b": "c"}}, 'spec.template.spec.nodeSelector: Invalid value: "a b"'),
}


@pytest.mark.parametrize(("spec", "words"), REFUSED.values(), ids=REFUSED)
def test_what_the_api_server_refuses_is_told_in_its_words_until_it_is_mended(team, spec, words):
    team.apply(model("a", **spec))
    status, reason, message = eventually(lambda: team.condition("a"))
    assert (status, reason) == ("False", "ApplyFailed")
    assert words in message
    assert team.get("services", "a-worker")
    team.apply(model("a"))
    eventually(lambda: team.reason("a") == "Starting")


# --- names


def test_the_older_of_two_models_serves_a_name_and_it_moves_when_that_one_goes(team):
    team.apply(model("older", model={"name": "vicuna"}))
    time.sleep(1.1)  # the API server counts age in whole seconds
    team.apply(model("younger", model={"name": "vicuna"}), model("alias", model={"aliases": ["vicuna"]}))
    eventually(lambda: team.reason("younger") == team.reason("alias") == "NameTaken")
    taken = "'vicuna' is served by the older ModelDeployment 'older': choose another spec.model.name or alias"
    assert team.condition("younger") == ("False", "NameTaken", taken)
    assert team.reason("older") == "Starting"
    assert team.get("deployments", "younger-worker") is None
    assert team.get("deployments", "alias-worker")
    team.delete("modeldeployments", "older")
    eventually(lambda: team.get("deployments", "younger-worker") or team.get("deployments", "alias-worker"))
    eventually(lambda: sorted(map(team.reason, ("younger", "alias"))) == ["NameTaken", "Starting"])


# --- the API's own record


def test_kubectl_describe_tells_what_happened(api_server, team):
    team.apply(model("a"))
    settled(team, "a")
    team.pod(
        "a",
        phase="Pending",
        conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}],
    )
    eventually(
        lambda: "no GPU" in api_server.kubectl("describe", f"--namespace={team.name}", "md/a").partition("Events:")[2]
    )


def test_a_status_that_another_version_wrote_is_replaced(admin, team):
    team.apply(model("a"))
    settled(team, "a")
    team.patch("modeldeployments", "a/status", {"status": {"url": "http://old", "replicas": 5}})
    eventually(lambda: team.get("modeldeployments", "a")["status"]["url"].endswith(f"{team.name}.svc/v1"))
    assert team.get("modeldeployments", "a")["status"]["replicas"] == 0
