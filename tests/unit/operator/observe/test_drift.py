"""When an object must be applied again."""

import copy
from typing import Any

import pytest

from fastchat_operator.kube.meta import marked
from fastchat_operator.observe.drift import drifted
from fastchat_operator.plan import gateway, worker
from fastchat_operator.settings import Settings


@pytest.fixture
def desired(model) -> Any:
    spec = {
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"cpu": 2}},
        "engine": {"env": [{"name": "A", "value": "1"}, {"name": "EMPTY", "value": ""}]},
        "tolerations": [
            {"key": "x", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "x", "operator": "Exists", "effect": "NoExecute"},
        ],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
        "volumes": [{"name": "v", "configMap": {"name": "c", "optional": False}}],
        "volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}],
    }
    return worker.plan(model(**spec), Settings())[1]


@pytest.fixture
def there(desired) -> Any:
    """The same object as the API server gives it back: in its own words, with defaults."""
    there = copy.deepcopy(desired)
    there["metadata"] |= {"uid": "1", "resourceVersion": "7", "generation": 1}
    there["spec"]["progressDeadlineSeconds"] = 600
    pod, container = inside(there), inside(there)["containers"][0]
    pod |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}
    pod["affinity"]["podAntiAffinity"] = {}
    del pod["volumes"][-1]["configMap"]["optional"]
    container["resources"] = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}
    container["livenessProbe"]["successThreshold"] = 1
    del next(each for each in container["env"] if each["name"] == "EMPTY")["value"]
    return there


def inside(deployment: Any) -> Any:
    return deployment["spec"]["template"]["spec"]


def test_what_is_not_there_must_be_applied(desired):
    assert drifted(desired, None)


def test_the_api_servers_own_words_and_defaults_are_no_drift(desired, there):
    assert not drifted(desired, there)


def test_a_new_plan_is_drift_even_if_it_only_leaves_a_field_out(desired, there):
    less = copy.deepcopy(desired)
    del inside(less)["affinity"]
    assert drifted(marked(less), there)


def unset_variable(deployment):
    env = inside(deployment)["containers"][0]["env"]
    env[:] = [each for each in env if each["name"] != "A"]


OURS = {
    "replicas": lambda there: there["spec"].update(replicas=9),
    "image": lambda there: inside(there)["containers"][0].update(image="other"),
    "a dropped variable": unset_variable,
    "an argument more": lambda there: inside(there)["containers"][0]["args"].append("--x"),
    "a quantity": lambda there: inside(there)["containers"][0]["resources"]["limits"].update(cpu="3"),
    "a label": lambda there: there["metadata"]["labels"].pop("fastchat.io/model-deployment"),
    "the owner": lambda there: there["metadata"].pop("ownerReferences"),
    "the mark": lambda there: there["metadata"].pop("annotations"),
    "a toleration": lambda there: inside(there)["tolerations"].pop(),
    "one of two mounts of a volume": lambda there: inside(there)["containers"][0]["volumeMounts"].pop(),
    "the security context": lambda there: inside(there)["securityContext"].update(runAsNonRoot=False),
}


@pytest.mark.parametrize("change", OURS.values(), ids=OURS)
def test_what_somebody_changed_of_ours_is_drift(desired, there, change):
    change(there)
    assert drifted(desired, there)


THEIRS = {
    "a label": lambda there: there["metadata"]["labels"].update(team="x"),
    "an annotation": lambda there: there["metadata"]["annotations"].update({"deployment.kubernetes.io/revision": "3"}),
    "a variable": lambda there: inside(there)["containers"][0]["env"].insert(0, {"name": "INJECTED", "value": "1"}),
    "a container": lambda there: inside(there)["containers"].insert(0, {"name": "mesh"}),
    "a volume": lambda there: inside(there)["volumes"].append({"name": "injected", "emptyDir": {}}),
    "an owner": lambda there: there["metadata"]["ownerReferences"].append({"uid": "other", "kind": "X", "name": "x"}),
    "a pull secret": lambda there: inside(there).update(imagePullSecrets=[{"name": "theirs"}]),
    "a status": lambda there: there.update(status={"replicas": 4}),
}


@pytest.mark.parametrize("change", THEIRS.values(), ids=THEIRS)
def test_what_others_added_is_theirs(desired, there, change):
    change(there)
    assert not drifted(desired, there)


GATEWAY = {
    "a right more": ("Role", lambda there: there["rules"].append({"resources": ["secrets"], "verbs": ["get"]})),
    "a verb more": ("Role", lambda there: there["rules"][0]["verbs"].append("delete")),
    "a subject more": ("RoleBinding", lambda there: there["subjects"].append({"kind": "User", "name": "eve"})),
    "a narrower selector": ("Service", lambda there: there["spec"]["selector"].update(canary="yes")),
    "a port": ("Service", lambda there: there["spec"]["ports"].clear()),
    "a port that is let in": (
        "fastchat-workers",
        lambda there: there["spec"]["ingress"][0]["ports"].append({"port": 22}),
    ),
    "a peer that is let in": ("fastchat-workers", lambda there: there["spec"]["ingress"][0]["from"].append({})),
}


@pytest.mark.parametrize(("what", "change"), GATEWAY.values(), ids=GATEWAY)
def test_lists_and_selectors_that_belong_to_one_are_put_right_as_a_whole(what, change):
    settings = Settings.model_validate({"networkPolicy": {"enabled": True}})
    desired = next(each for each in gateway.plan("team", settings) if what in (each["kind"], each["metadata"]["name"]))
    there = copy.deepcopy(desired)
    assert not drifted(desired, there)
    change(there)
    assert drifted(desired, there)
