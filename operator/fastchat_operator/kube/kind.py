"""The kinds of objects that the operator reads and writes."""

from fastchat._kube.kind import Kind, Object
from fastchat.v1alpha1.deployment import GROUP, VERSION

MODEL_DEPLOYMENT = Kind(f"{GROUP}/{VERSION}", "ModelDeployment", "modeldeployments")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
SERVICE = Kind("v1", "Service", "services")
POD = Kind("v1", "Pod", "pods")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CLUSTER_ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings")
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
SECRET = Kind("v1", "Secret", "secrets")

WORKLOADS = (DEPLOYMENT,)
"""What may run the pods of a model; those of a gateway are run by a Deployment."""

MADE = (DEPLOYMENT, SERVICE, SERVICE_ACCOUNT, ROLE, ROLE_BINDING, POD_DISRUPTION_BUDGET, NETWORK_POLICY)
"""What the operator makes itself."""

WATCHED = (MODEL_DEPLOYMENT, *MADE, REPLICA_SET, POD)

_BY_NAME = {(kind.api_version, kind.name): kind for kind in (*WATCHED, SECRET)}


def kind_of(thing: Object) -> Kind:
    """The kind of an object that says what it is."""
    return _BY_NAME[thing["apiVersion"], thing["kind"]]
