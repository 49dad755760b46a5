"""A real API server with the CRD, namespaces of teams, and operators."""

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.operator.team import Admin, Namespace, Object
from support.operators import Operator

from fastchat.v1alpha1.names import INTERNAL

ROOT = Path(__file__).parents[3]
READ = ["get", "list", "watch"]
WRITE = [*READ, "create", "patch", "delete"]
RULES = [
    {"apiGroups": ["fastchat.io"], "resources": ["modeldeployments"], "verbs": READ},
    {
        "apiGroups": ["fastchat.io"],
        "resources": ["modeldeployments/status", "modeldeployments/scale"],
        "verbs": ["patch"],
    },
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": WRITE},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["services", "serviceaccounts"], "verbs": WRITE},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": WRITE},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": WRITE},
    {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": WRITE},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [INTERNAL], "verbs": ["get", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch", "patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ},
]
"""What the chart grants the operator, cluster-wide or by Role in each namespace."""
EVERYWHERE = {
    "apiGroups": ["rbac.authorization.k8s.io"],
    "resources": ["clusterrolebindings"],
    "verbs": ["list"],
}
"""And one for all namespaces."""
LEASES = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]
SYSTEM = "fastchat-system"
RARE = {"resyncSeconds": 600}
"""The next pass over everything is far away: whatever happens is of a watch."""


@pytest.fixture(scope="session")
def admin(api_server, tmp_path_factory) -> Iterator[Admin]:
    """The API server with the CRD."""
    api_server.kubectl("apply", f"--filename={ROOT / 'crds' / 'modeldeployments.fastchat.io.yaml'}")
    api_server.kubectl("wait", "--for=condition=Established", "crd/modeldeployments.fastchat.io")
    client = Admin(api_server.kubeconfig, tmp_path_factory.mktemp("admin"))
    yield client
    client.close()


@pytest.fixture(scope="module")
def make_namespace(admin) -> Iterator[Callable[[], Namespace]]:
    """Makes namespaces with the ServiceAccount that a controller would make, cleared when the module is over."""
    made = []

    def make(name: str = "") -> Namespace:
        name = name or f"team-{next(_numbers)}"
        if not admin.call("GET", f"api/v1/namespaces/{name}"):
            admin.call("POST", "api/v1/namespaces", {"metadata": {"name": name}})
        namespace = Namespace(admin, name)
        namespace.create("serviceaccounts", {"metadata": {"name": "default"}})
        made.append(namespace)
        return namespace

    yield make
    for namespace in made:
        namespace.clear()
        if namespace.name != "default":
            admin.call("DELETE", f"api/v1/namespaces/{namespace.name}")


_numbers = itertools.count(1)


@pytest.fixture
def team(make_namespace) -> Namespace:
    return make_namespace()


@pytest.fixture(scope="session")
def system(admin) -> Namespace:
    """The operators' own namespace."""
    return Namespace(admin, SYSTEM)


@pytest.fixture(scope="session")
def rules() -> list[Object]:
    return RULES


@pytest.fixture(scope="module")
def start_operator(operator_account, tmp_path_factory) -> Iterator[Callable[..., Operator]]:
    """Starts operators: as the chart's ServiceAccount, or as told; settings as further arguments."""
    started: list[Operator] = []

    def start(kubeconfig: Path = operator_account, environ: dict[str, str] | None = None, **settings: Any) -> Operator:
        operator = Operator(kubeconfig, tmp_path_factory.mktemp("operator"), environ or {}, **RARE | settings)
        started.append(operator)
        return operator

    yield start
    for operator in started:
        if operator.alive:
            operator.stop(signal.SIGKILL)
        print(f"{operator.log}\n{operator.log.read_text()}")  # shown where a test of the module failed


@pytest.fixture(scope="session")
def make_account(api_server, admin) -> Callable[..., Path]:
    """Makes ServiceAccounts of operators: kubeconfigs of who may do that in these namespaces, or in all."""
    admin.call("POST", "api/v1/namespaces", {"metadata": {"name": SYSTEM}})
    rbac = "apis/rbac.authorization.k8s.io/v1"

    def grant(name: str, kind: str, place: str, rules: list[Object]) -> None:
        metadata = {"metadata": {"name": name}}
        admin.call("POST", f"{rbac}{place}/{kind.lower()}s", metadata | {"rules": rules})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        admin.call("POST", f"{rbac}{place}/{kind.lower()}bindings", metadata | {"roleRef": role, "subjects": [subject]})

    def make(name: str, rules: list[Object], *namespaces: Namespace) -> Path:
        admin.call("POST", f"api/v1/namespaces/{SYSTEM}/serviceaccounts", {"metadata": {"name": name}})
        grant(name, "Role", f"/namespaces/{SYSTEM}", LEASES)
        for namespace in namespaces:
            grant(name, "Role", f"/namespaces/{namespace.name}", rules)
        if not namespaces:
            grant(name, "ClusterRole", "", [*rules, EVERYWHERE])
        path: Path = api_server.service_account(SYSTEM, name)
        return path

    return make


@pytest.fixture(scope="session")
def operator_account(make_account) -> Path:
    return make_account("fastchat-operator", RULES)


@pytest.fixture(scope="module")
def operator(start_operator) -> Operator:
    """One operator for all tests of a module and all namespaces."""
    running: Operator = start_operator()
    return running
