"""What ails one namespace is no matter of the others; what ails all is told, and ends by itself."""

import json

import httpx
import pytest
from integration.operator.conftest import ROOT
from integration.operator.team import model
from support.eventually import eventually

CRD = "modeldeployments.fastchat.io"


def ready(operator):
    """Status and detail of /ready."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{operator.health_port}/ready", trust_env=False)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json()


def synced(operator):
    """fastchat_operator_namespace_synced by namespace."""
    text = httpx.get(f"http://127.0.0.1:{operator.health_port}/metrics", trust_env=False).text
    lines = [each for each in text.splitlines() if each.startswith("fastchat_operator_namespace_synced{")]
    return {each.split('"')[1]: float(each.rsplit(" ", 1)[1]) for each in lines}


def acts_on(team, name):
    team.apply(model(name))
    eventually(lambda: team.get("deployments", f"{name}-worker"))


@pytest.fixture
def bind(admin):
    """Gives an operator its Role in a namespace, or takes it away."""
    rbac = "apis/rbac.authorization.k8s.io/v1/namespaces"

    def change(account, team, bound):
        path = f"{rbac}/{team.name}/rolebindings"
        if not bound:
            admin.call("DELETE", f"{path}/{account}")
            return
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": "fastchat-system"}
        admin.call("POST", path, {"metadata": {"name": account}, "roleRef": role, "subjects": [subject]})

    return change


def test_a_namespace_that_is_lost_stops_no_other_and_goes_on_when_it_is_back(
    make_account, rules, start_operator, make_namespace, bind
):
    lost, well = make_namespace(), make_namespace()
    account = make_account("isolated", rules, lost, well)
    bind("isolated", lost, bound=False)
    operator = start_operator(account, namespaces=["nowhere", lost.name, well.name], resyncSeconds=2)
    acts_on(well, "a")
    status, detail = ready(operator)
    assert status == 200
    assert detail["lost"].keys() == {"nowhere", lost.name}
    assert 'cannot list resource "modeldeployments"' in detail["lost"][lost.name]
    assert synced(operator) == {"nowhere": 0, lost.name: 0, well.name: 1}
    bind("isolated", lost, bound=True)
    acts_on(lost, "a")
    eventually(lambda: ready(operator)[1]["lost"].keys() == {"nowhere"})
    bind("isolated", lost, bound=False)
    eventually(lambda: ready(operator)[1]["lost"].keys() == {"nowhere", lost.name})
    acts_on(well, "b")
    assert ready(operator)[0] == 200
    bind("isolated", lost, bound=True)
    acts_on(lost, "b")
    assert operator.alive


def test_a_model_that_nobody_can_read_is_no_matter_of_the_others(admin, start_operator, team):
    """The API server takes any depth up to 10,000 where a schema has no types, as that of `affinity`."""
    operator = start_operator(namespaces=[team.name], resyncSeconds=1)
    eventually(lambda: operator.says("everything is known"))
    deep = json.dumps(model("deep", affinity={"a": "NESTED"})).replace('"NESTED"', 8000 * "[" + 8000 * "]")
    answer = admin.attempt("POST", team.path("modeldeployments"), text=deep)
    assert answer.status_code == 201
    acts_on(team, "a")
    eventually(lambda: operator.says("/deep is left alone"))
    acts_on(team, "b")
    assert ready(operator) == (200, {"status": "acting", "lost": {}})
    admin.attempt("DELETE", team.path("modeldeployments", "deep"))


def test_an_operator_that_can_list_nothing_is_not_ready_and_says_why(make_account, start_operator, team):
    operator = start_operator(make_account("nobody", [], team), namespaces=[team.name])
    eventually(lambda: "forbidden" in ready(operator)[1].get("lost", {}).get(team.name, ""))
    assert ready(operator)[0] == 503
    assert operator.alive


def test_a_crd_that_is_not_there_is_waited_for_and_one_that_goes_is_too(api_server, admin, start_operator, team):
    early = start_operator(namespaces=[team.name])
    acts_on(team, "a")
    admin.call("DELETE", f"apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD}")
    eventually(lambda: ready(early)[0] == 503)
    late = start_operator(namespaces=[team.name])
    for operator in (early, late):
        eventually(
            lambda operator=operator: f"{CRD} is not installed" in ready(operator)[1].get("trouble", ""), seconds=20
        )
    assert late.says("is not installed: it comes with FastChat's Helm chart")
    api_server.kubectl("apply", f"--filename={ROOT / 'crds' / f'{CRD}.yaml'}")
    api_server.kubectl("wait", "--for=condition=Established", f"crd/{CRD}")
    team.apply(model("b"))
    eventually(lambda: team.get("deployments", "b-worker"))
    for operator in (early, late):
        eventually(lambda operator=operator: ready(operator)[0] == 200)
        assert operator.alive
        assert not operator.says("Traceback")
