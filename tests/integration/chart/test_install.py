"""The chart in a real API server: every object is accepted, and each account may do what it is for and no more."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from support.eventually import eventually

from fastchat._kube.errors import ApiError
from fastchat._kube.kind import Kind
from fastchat._kube.kubeconfig import load as access_of
from fastchat_operator.kube.api import Api
from fastchat_operator.kube.kind import SECRET, WATCHED
from fastchat_operator.kube.lease import Lease
from fastchat_operator.plan import gateway
from fastchat_operator.settings import Settings

CHART = Path(__file__).parents[3] / "charts/fastchat"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
ACCOUNT = "fastchat-operator"
TEAMS = """
apiVersion: v1
kind: Namespace
metadata: {name: team-a}
---
apiVersion: v1
kind: Namespace
metadata: {name: team-b}
"""
MODEL = """
apiVersion: fastchat.io/v1alpha1
kind: ModelDeployment
metadata: {name: smollm2}
spec: {replicas: 0, model: {source: hf://HuggingFaceTB/SmolLM2-135M-Instruct}}
"""
SCALED = """
apiVersion: fastchat.io/v1alpha1
kind: ModelDeployment
metadata: {name: scaled}
spec: {autoscaling: {minReplicas: 2, maxReplicas: 3}, model: {source: hf://org/name}}
"""


@pytest.fixture
def as_operator(api_server, release):
    """The Kubernetes API as the release's operator sees it."""

    def connect() -> Api:
        account = api_server.service_account(release.namespace, ACCOUNT)
        return Api(access_of([account]))

    return connect


def load(text: str, folder: Path) -> Settings:
    file = folder / "operator.yaml"
    file.write_text(text)
    return Settings.load(file)


def person(api_server, name: str) -> list[str]:
    return [f"--kubeconfig={api_server.kubeconfig_for(name)}"]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_api_server_accepts_every_object(helm, api_server, tmp_path, values):
    """All but the pod of `helm test`, which needs its ServiceAccount: test_check.py lets Helm make both."""
    api_server.kubectl("apply", "--filename=-", input=TEAMS)
    objects = tmp_path / "objects.yaml"
    rendered = helm.objects(f"--values={values}")
    objects.write_text(yaml.safe_dump_all(each for each in rendered if each["kind"] != "Pod"))
    api_server.kubectl("apply", "--dry-run=server", "--validate=strict", f"--filename={objects}")


def test_a_mistyped_value_installs_nothing(release, helm):
    with pytest.raises(RuntimeError, match="at '/gateway': additional properties 'replica' not allowed"):
        release.install("--set=gateway.replica=3")
    assert helm("list", "--all-namespaces", "--short") == ""


def test_a_namespace_that_is_not_there_is_named(release):
    with pytest.raises(RuntimeError, match='namespaces "team-x" not found'):
        release.install("--set=namespaces={team-x}")


def test_the_notes_say_how_to_call_and_how_to_leave(release):
    notes = release.install()
    assert "http://fastchat-gateway.default.svc/v1" in notes
    assert f"helm test fastchat --namespace {release.namespace}" in notes
    assert "kubectl delete modeldeployments --all --all-namespaces" in notes


def test_the_manifest_of_the_notes_is_accepted(release, api_server):
    """They are for copying."""
    notes = release.install()
    manifest = notes.split("<<'END'\n")[1].split("END\n")[0]
    api_server.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", input=manifest)


def test_the_operators_pod_passes_pod_security_restricted(release, api_server):
    release.install()
    spec = release.get("deployment")["spec"]["template"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": release.namespace}, "spec": spec}
    api_server.kubectl("create", "--dry-run=server", "--filename=-", input=json.dumps(pod))
    spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        api_server.kubectl("create", "--dry-run=server", "--filename=-", input=json.dumps(pod))


async def test_the_operator_may_list_what_it_watches_in_all_namespaces_and_no_secrets(release, as_operator):
    release.install()
    async with as_operator() as api:
        for kind in WATCHED:
            async for _ in api.list(kind, None, ""):
                pass
        with pytest.raises(ApiError, match="cannot list resource"):
            async for _ in api.list(SECRET, None, ""):
                pass


async def test_limited_to_namespaces_it_may_nothing_elsewhere(release, as_operator, make_namespace):
    ours, foreign = make_namespace(), make_namespace()
    release.install(f"--set=namespaces={{{ours}}}")
    async with as_operator() as api:
        with pytest.raises(ApiError, match=rf'cannot patch resource .* in the namespace "{foreign}"'):
            await api.apply(gateway.plan(foreign, Settings())[0])
        with pytest.raises(ApiError, match="at the cluster scope"):
            async for _ in api.list(WATCHED[0], None, ""):
                pass


async def test_the_operator_may_take_and_give_back_its_lease_and_no_other(release, as_operator, tmp_path):
    release.install()
    election = load(release.settings(), tmp_path).leader_election

    async def act() -> None:
        assert release.get("lease")["spec"]["holderIdentity"] == "me"

    async with as_operator() as api, asyncio.timeout(60):
        await Lease(api, election, release.namespace, "me").hold(act)
        assert release.get("lease")["spec"]["holderIdentity"] == ""
        with pytest.raises(ApiError, match='cannot get resource "leases"'):
            await api.get(Kind("coordination.k8s.io/v1", "Lease", "leases"), release.namespace, "another")


@pytest.mark.parametrize("limited", [False, True], ids=["all namespaces", "one namespace"])
def test_the_operator_works_with_the_settings_and_the_rights_of_the_chart(
    release, make_namespace, tmp_path, api_server, limited
):
    team = make_namespace()
    namespaces = json.dumps([team] if limited else [])
    release.install(f"--set-json=namespaces={namespaces}")
    here, wait = f"--namespace={team}", ["wait", f"--namespace={team}", "--timeout=60s"]
    with operator(release, api_server, tmp_path):
        api_server.kubectl("apply", here, "--filename=-", input=MODEL)
        api_server.kubectl(*wait, "--for=jsonpath={.status.url}", "modeldeployment/smollm2")
        eventually(lambda: "fastchat-workers" in api_server.kubectl("get", "networkpolicies", here))
        eventually(lambda: "ScaledToZero" in api_server.kubectl("get", "events", here))
        api_server.kubectl("apply", here, "--filename=-", input=SCALED)
        eventually(lambda: "ScaledUp" in api_server.kubectl("get", "events", here))
        assert "fastchat-internal" in api_server.kubectl("get", "secrets", here)
        api_server.kubectl("delete", here, "modeldeployment", "smollm2", "scaled")
        eventually(lambda: "fastchat-internal" not in api_server.kubectl("get", "secrets", here))
        api_server.kubectl(*wait, "--for=delete", "deployment/fastchat-gateway", "networkpolicy/fastchat-workers")
    assert release.get("lease")["spec"]["holderIdentity"] == ""
    assert "forbidden" not in (tmp_path / "log").read_text()


def test_network_policies_go_when_they_are_no_longer_wanted(release, make_namespace, tmp_path, api_server):
    here = f"--namespace={make_namespace()}"

    def policies() -> list[str]:
        return api_server.kubectl("get", "networkpolicies", here, "--output=name").split()

    release.install()
    api_server.kubectl("apply", here, "--filename=-", input=MODEL)
    with operator(release, api_server, tmp_path):
        eventually(lambda: len(policies()) == 2)
    release.helm("upgrade", str(CHART), "--set=networkPolicies.enabled=false")
    with operator(release, api_server, tmp_path):
        eventually(lambda: not policies())
    assert "fastchat-gateway" in api_server.kubectl("get", "deployments", here)


@contextmanager
def operator(release, api_server, folder: Path) -> Iterator[None]:
    """The operator as the chart starts it, with its account, its settings and its pod's environment."""
    file = folder / "operator.yaml"
    file.write_text(release.settings())
    account = api_server.service_account(release.namespace, ACCOUNT)
    environ = os.environ | {"KUBECONFIG": str(account), "POD_NAMESPACE": release.namespace, "POD_NAME": "operator-1"}
    command = [sys.executable, "-m", "fastchat_operator", f"--config={file}", "--health-port=0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_the_network_policies_that_the_values_ask_for_are_accepted(helm, api_server, make_namespace, tmp_path):
    values = Path(__file__).parent / "values/network-policies.yaml"
    settings = load(helm.object("ConfigMap", f"--values={values}")["data"]["operator.yaml"], tmp_path)
    planned = [each for each in gateway.plan(make_namespace(), settings) if each["kind"] == "NetworkPolicy"]
    strict = ["--dry-run=server", "--validate=strict", "--filename=-"]
    created = api_server.kubectl("create", *strict, input=yaml.safe_dump_all(planned))
    assert len(created.splitlines()) == 2


@pytest.mark.parametrize("role", ["edit", "view"])
def test_the_clusters_own_roles_take_ours_in(release, api_server, role):
    """No controller runs here that adds them; it does what this selector says."""
    release.install()
    wanted = yaml.safe_load(api_server.kubectl("get", "clusterrole", role, "--output=yaml"))["aggregationRule"]
    labels = wanted["clusterRoleSelectors"][0]["matchLabels"]
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    found = api_server.kubectl("get", "clusterroles", f"--selector={selector}", "--output=name").split()
    assert f"clusterrole.rbac.authorization.k8s.io/fastchat-{role}" in found


def test_who_may_edit_serves_and_scales_models(release, make_namespace, api_server):
    team = make_namespace()
    release.install()
    here = f"--namespace={team}"
    for role in ("edit", "view"):  # edit takes view in
        api_server.kubectl("create", "rolebinding", role, here, f"--clusterrole=fastchat-{role}", "--user=ann")
    ann = [*person(api_server, "ann"), here]
    api_server.kubectl(*ann, "apply", "--filename=-", input=MODEL)
    api_server.kubectl(*ann, "scale", "modeldeployment/smollm2", "--replicas=3")
    assert api_server.kubectl(*ann, "get", "md", "smollm2", "--output=jsonpath={.spec.replicas}") == "3"
    api_server.kubectl(*ann, "delete", "modeldeployment", "smollm2")


def test_who_may_view_changes_nothing(release, make_namespace, api_server):
    team = make_namespace()
    release.install()
    here = f"--namespace={team}"
    api_server.kubectl("create", "rolebinding", "view", here, "--clusterrole=fastchat-view", "--user=bob")
    bob = [*person(api_server, "bob"), here]
    assert api_server.kubectl(*bob, "get", "modeldeployments", "--output=name") == ""
    with pytest.raises(RuntimeError, match='cannot create resource "modeldeployments"'):
        api_server.kubectl(*bob, "create", "--filename=-", input=MODEL)


# --- a second release


@pytest.fixture
def second(release, helm, api_server, make_namespace) -> Iterator[str]:
    """Namespace of a second release called `other`, beside the first."""
    release.install()
    time.sleep(1.1)  # the API server counts age in whole seconds
    namespace = make_namespace()
    yield namespace
    helm("uninstall", "other", f"--namespace={namespace}", "--ignore-not-found")
    api_server.kubectl("delete", "clusterrole,clusterrolebinding", "--selector=app.kubernetes.io/instance=other")


REFUSED = (
    "the release {quote}fastchat{quote} in namespace {quote}fastchat-system{quote} acts on all namespaces already, "
    "and two would undo each other's work: uninstall"
)


def test_a_second_release_for_all_namespaces_is_not_installed(release, second, helm):
    with pytest.raises(RuntimeError, match=REFUSED.format(quote='"')):
        helm("install", "other", str(CHART), f"--namespace={second}", "--set=crds.install=false")
    release.helm("upgrade", str(CHART))


def test_a_release_for_namespaces_of_another_is_not_installed(release, helm, api_server, make_namespace):
    one, both = make_namespace(), make_namespace()
    release.install(f"--set=namespaces={{{both}}}")
    place = ["other", str(CHART), f"--namespace={one}", "--set=crds.install=false"]
    with pytest.raises(RuntimeError, match=f'the release "fastchat" in namespace "fastchat-system" acts on {both}'):
        helm("install", *place, f"--set=namespaces={{{one},{both}}}")
    helm("install", *place, f"--set=namespaces={{{one}}}")
    helm("uninstall", "other", f"--namespace={one}")


def test_an_operator_beside_the_first_release_ends_and_says_why(release, second, helm, api_server, tmp_path):
    """Its objects may have come past Helm, by kubectl or a GitOps tool."""
    place = [str(CHART), f"--namespace={second}", "--set=crds.install=false"]
    objects = yaml.safe_load_all(helm("template", "other", *place, "--kube-version=1.34"))
    kinds = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap"}
    kept = [each for each in objects if each["kind"] in kinds and "helm.sh/hook" not in str(each)]
    api_server.kubectl("apply", f"--namespace={second}", "--filename=-", input=yaml.safe_dump_all(kept))
    with operator(release, api_server, tmp_path):
        eventually(lambda: "acting on all namespaces" in (tmp_path / "log").read_text())
        settings = next(each["data"]["operator.yaml"] for each in kept if each["kind"] == "ConfigMap")
        (tmp_path / "other.yaml").write_text(settings)
        environ = os.environ | {"POD_NAMESPACE": second, "POD_NAME": "other-1"}
        environ |= {"KUBECONFIG": str(api_server.service_account(second, "other-fastchat-operator"))}
        command = [sys.executable, "-m", "fastchat_operator", f"--config={tmp_path / 'other.yaml'}", "--health-port=0"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        assert re.search(REFUSED.format(quote="'"), done.stderr.splitlines()[-1])
    assert "acts on all namespaces already" not in (tmp_path / "log").read_text()
