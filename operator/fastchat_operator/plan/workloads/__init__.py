"""What runs the pods of workers and gateways, one file per kind of object.

Another kind is a file here, an entry in WORKLOADS and a choice in `workload_for`; a Kind in `kube.kind`, in WORKLOADS
and MADE of that, by which it is watched; rules in the chart. `reconcile`, `observe` and `scale` know nothing of it.
"""

from collections.abc import Mapping

from fastchat._kube.kind import Kind, Object
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_operator.kube.kind import DEPLOYMENT, kind_of
from fastchat_operator.plan.workloads.deployment import Deployments
from fastchat_operator.plan.workloads.workload import NO_PODS, Progress, Workload

DEPLOYMENTS = Deployments()
WORKLOADS: Mapping[Kind, Workload] = {DEPLOYMENT: DEPLOYMENTS}


def workload_for(deployment: ModelDeployment) -> Workload:  # noqa: ARG001  # there is one kind so far
    """What is to run the workers of a ModelDeployment."""
    return DEPLOYMENTS


def workload_of(there: Object) -> Workload:
    """What an object is that runs pods; raises KeyError where it does not run any."""
    return WORKLOADS[kind_of(there)]


def progress(there: Object | None) -> Progress:
    """What a workload says of its pods; of one that is not there: that none runs."""
    return NO_PODS if there is None else workload_of(there).progress(there)
