"""What the chart's ValidatingAdmissionPolicies let pass, in a real API server."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.eventually import eventually

from fastchat._kube import request
from fastchat._kube.errors import ApiError
from fastchat._kube.kubeconfig import load
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_operator.kube.api import Api
from fastchat_operator.kube.kind import POD
from fastchat_operator.plan import gateway, worker
from fastchat_operator.settings import Settings

CHART = Path(__file__).parents[3] / "charts/fastchat"
DENIED = "ValidatingAdmissionPolicy"


def modeldeployment(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "fastchat.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "m"},
        "spec": {"replicas": 0, "model": {"source": "hf://org/name"}} | spec,
    }


# --- the operator's ServiceAccount


class AsOperator:
    """The operator's account in one team's namespace; it tries, and changes nothing."""

    def __init__(self, kubectl: Callable[..., str], account: Path, team: str) -> None:
        self._kubectl, self.account, self.team = kubectl, account, team

    def refused(self, *command: str, thing: Any = None) -> str:
        """What the API server says against a write; empty: it takes it."""
        options = [f"--kubeconfig={self.account}", f"--namespace={self.team}", "--dry-run=server"]
        piped = ["--filename=-"] if thing else []
        try:
            self._kubectl(*options, *command, *piped, input=json.dumps(thing) if thing else None)
        except RuntimeError as error:
            return str(error)
        return ""


@pytest.fixture
def operator(release, api_server, make_namespace) -> AsOperator:
    release.install()
    account = api_server.service_account(release.namespace, "fastchat-operator")
    operator = AsOperator(api_server.kubectl, account, make_namespace())
    eventually(lambda: DENIED in operator.refused("create", thing=_named(_secret(), "another")))
    return operator


def _secret() -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "fastchat-operator"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fastchat-internal", "labels": labels}}


def _named(thing: dict[str, Any], name: str) -> dict[str, Any]:
    return thing | {"metadata": thing["metadata"] | {"name": name}}


def _planned(team: str) -> dict[str, dict[str, Any]]:
    """What the operator makes, by kind, of workers before that of gateways."""
    asked = modeldeployment(engine={"type": "VLLM"}, gpus=1)
    asked["metadata"] |= {"namespace": team, "uid": "8a6e"}
    things = [*gateway.plan(team, Settings()), *worker.plan(ModelDeployment.parse(asked), Settings())]
    return {each["kind"]: each for each in things} | {"Secret": _secret()}


def _changed(thing: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(thing)
    *parts, last = path.split(".")
    place: Any = changed
    for part in parts:
        place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
    place[last] = value
    return changed


CONTAINER = "spec.template.spec.containers.0.securityContext"
DEPLOYMENTS = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create"]}
CLUSTER_ADMIN = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "fastchat-gateway"}
SOMEBODY = [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}]
NOT_ITS_OWN = [
    ("Deployment", "spec.template.spec.hostNetwork", True, "network"),
    ("Deployment", "spec.template.spec.hostPID", True, "processes"),
    ("Deployment", f"{CONTAINER}.privileged", True, ""),
    ("Deployment", f"{CONTAINER}.allowPrivilegeEscalation", True, "privileges"),
    ("Deployment", f"{CONTAINER}.runAsUser", 0, "privileges"),
    ("Deployment", f"{CONTAINER}.capabilities.add", ["SYS_ADMIN"], "privileges"),
    ("Deployment", "spec.template.spec.securityContext.runAsNonRoot", False, "privileges"),
    ("Deployment", "metadata.ownerReferences", [], "ModelDeployments only"),
    ("Deployment", "metadata.labels", {}, "labels what it makes"),
    ("Service", "metadata.ownerReferences", [], "ModelDeployments only"),
    ("Service", "spec.type", "NodePort", ""),
    ("Service", "spec.externalIPs", ["192.0.2.1"], "inside the cluster"),
    ("ServiceAccount", "metadata.name", "default2", "ModelDeployments only"),
    ("Secret", "metadata.name", "another", "ModelDeployments only"),
    ("PodDisruptionBudget", "metadata.name", "another", "ModelDeployments only"),
    ("NetworkPolicy", "metadata.name", "another", "ModelDeployments only"),
    ("Role", "rules", [DEPLOYMENTS], "lets gateways read"),
    ("RoleBinding", "subjects", SOMEBODY, "the gateway of the same namespace"),
    ("RoleBinding", "roleRef", CLUSTER_ADMIN, ""),
]


def test_the_operator_writes_what_it_plans_and_nothing_beside_it(operator, api_server):
    """One test, for an installation each would take minutes."""
    planned = _planned(operator.team)
    for kind, thing in planned.items():
        if kind == "RoleBinding":  # for which its Role must be there
            api_server.kubectl("create", "--filename=-", input=json.dumps(planned["Role"]))
        assert operator.refused("create", thing=thing) == "", kind
    for kind, path, value, why in NOT_ITS_OWN:
        said = operator.refused("create", thing=_changed(planned[kind], path, value))
        assert said, (kind, path)
        assert why in said, (kind, path, said)


def test_the_operator_leaves_alone_what_somebody_else_made(operator, api_server):
    here = f"--namespace={operator.team}"
    own = [
        each for each in _planned(operator.team).values() if each["kind"] in ("Deployment", "Service", "NetworkPolicy")
    ]
    foreign = [_changed(_changed(each, "metadata.labels", {}), "metadata.annotations", {}) for each in own]
    api_server.kubectl("create", here, "--filename=-", input=yaml.safe_dump_all(foreign))
    for thing in own:
        name = f"{thing['kind'].lower()}/{thing['metadata']['name']}"
        patch = json.dumps({"metadata": {"labels": thing["metadata"]["labels"]}})
        assert "only what it has made" in operator.refused("patch", name, "--type=merge", f"--patch={patch}")
        assert "only what it has made" in operator.refused("delete", name)


async def test_the_operator_says_which_of_its_pods_is_idle_and_changes_nothing_else(operator, api_server):
    here = f"--namespace={operator.team}"
    template = _planned(operator.team)["Deployment"]["spec"]["template"]
    pod = template | {"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"] | {"name": "ours"}}
    del pod["spec"]["tolerations"]
    foreign = _changed(_named(pod, "foreign"), "metadata.labels", {"app": "foreign"})
    api_server.kubectl("create", here, "serviceaccount", "default")
    api_server.kubectl("create", here, "--filename=-", input=yaml.safe_dump_all([pod, foreign]))

    async def patched(api: Api, name: str, **metadata: Any) -> str:
        wanted = request.merge(POD.path(operator.team, name), {"metadata": metadata})
        try:
            await api.send(replace(wanted, query={"dryRun": "All"}))
        except ApiError as error:
            return str(error)
        return ""

    cost = {"controller.kubernetes.io/pod-deletion-cost": "-1"}
    async with Api(load([operator.account])) as api:
        assert await patched(api, "ours", annotations=cost) == ""
        assert "which is idle" in await patched(api, "foreign", annotations=cost)
        assert "which is idle" in await patched(api, "ours", annotations={"other": "1"})
        assert "which is idle" in await patched(api, "ours", labels={"app": "foreign"})


def test_without_the_policy_the_operator_is_bound_by_its_role_alone(helm):
    rendered = helm.objects("--set=admissionPolicies.operator=false")
    assert not [each for each in rendered if each["kind"].startswith(DENIED)]


# --- ModelDeployments


HOST_PATH = {"volumes": [{"name": "node", "hostPath": {"path": "/"}}]}
SECRET = {"volumes": [{"name": "data", "secret": {"secretName": "data"}}]}
LIMITS = {
    "serviceAccounts": ["team"],
    "imagePrefixes": ["registry.example.com/"],
    "enabled": True,
}
REFUSED = [
    ({"serviceAccountName": "admin"}, "spec.serviceAccountName: admin is not one of those"),
    (HOST_PATH, "spec.volumes: the cluster's administrator allows only these types: configMap"),
    (
        {"engine": {"type": "Custom", "image": "evil.example.com/x"}},
        "spec.engine.image: evil.example.com/x does not begin",
    ),
    ({"model": {"source": "hf://org/name", "trustRemoteCode": True}}, "does not allow models to bring code"),
    ({"engine": {"type": "VLLM", "args": ["--trust_remote_code=true"]}}, "does not allow models to bring code"),
    ({"engine": {"args": ["--dtype=bfloat16", "--trust-remote"]}}, "does not allow models to bring code"),
]
ALLOWED = [
    {},
    SECRET,
    {"serviceAccountName": "team"},
    {"engine": {"type": "Custom", "image": "registry.example.com/x:1"}},
    {"engine": {"type": "Transformers", "args": ["--dtype=bfloat16", "--tokens=1"]}},
    {"model": {"source": "hf://org/name", "trustRemoteCode": False}},
]


def test_model_deployments_ask_only_for_what_the_values_allow(release, api_server, make_namespace):
    here = f"--namespace={make_namespace()}"
    release.install(f"--set-json=admissionPolicies.modelDeployments={json.dumps(LIMITS)}")

    def applied(**spec: Any) -> str:
        """What is said against it; empty: it is taken."""
        try:
            api_server.kubectl(
                "create", here, "--dry-run=server", "--filename=-", input=json.dumps(modeldeployment(**spec))
            )
        except RuntimeError as error:
            return str(error)
        return ""

    eventually(lambda: applied(serviceAccountName="admin"))
    for spec, why in REFUSED:
        assert why in applied(**spec)
    for spec in ALLOWED:
        assert applied(**spec) == "", spec


def test_a_model_that_was_there_before_may_be_scaled_and_labelled(release, api_server, make_namespace):
    here = f"--namespace={make_namespace()}"
    release.install()
    api_server.kubectl("create", here, "--filename=-", input=json.dumps(modeldeployment(**HOST_PATH)))
    release.helm("upgrade", str(CHART), f"--set-json=admissionPolicies.modelDeployments={json.dumps(LIMITS)}")
    other = json.dumps(_named(modeldeployment(**HOST_PATH), "other"))

    def refused() -> bool:
        try:
            api_server.kubectl("create", here, "--dry-run=server", "--filename=-", input=other)
        except RuntimeError:
            return True
        return False

    eventually(refused)
    api_server.kubectl("scale", here, "md/m", "--replicas=2")
    api_server.kubectl("label", here, "md/m", "team=a")


def test_the_limits_of_a_release_for_some_namespaces_end_with_these(helm):
    options = ["--set=namespaces={team-a}", "--set=admissionPolicies.modelDeployments.enabled=true"]
    bindings = [each for each in helm.objects(*options) if each["kind"] == f"{DENIED}Binding"]
    (limited,) = [each for each in bindings if "matchResources" in each["spec"]]
    (expression,) = limited["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert (limited["spec"]["policyName"].split(".")[0], expression["values"]) == (
        "fastchat-operator-modeldeployments",
        ["team-a"],
    )
