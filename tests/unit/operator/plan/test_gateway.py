"""The plan of a namespace's gateway."""

import pytest
from pydantic import ValidationError

from fastchat_operator.plan import gateway, worker
from fastchat_operator.settings import RESERVED_IN_GATEWAYS, Settings


def planned(**settings):
    return {each["kind"]: each for each in gateway.plan("team", Settings.model_validate(settings))}


def pod(**settings):
    return planned(**settings)["Deployment"]["spec"]["template"]["spec"]


def container(**settings):
    (only,) = pod(**settings)["containers"]
    return only


def labels_of_pods(deployment):
    return deployment["spec"]["template"]["metadata"]["labels"]


def test_a_gateway_is_all_that_it_needs_and_nothing_owns_it():
    things = gateway.plan("team", Settings())
    assert {each["kind"] for each in things} == {
        *("ServiceAccount", "Role", "RoleBinding", "Service", "NetworkPolicy", "Deployment", "PodDisruptionBudget")
    }
    for each in things:
        assert each["metadata"]["namespace"] == "team"
        assert each["metadata"]["name"] in ("fastchat-gateway", "fastchat-workers")
        assert each["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "fastchat-operator"
        assert "ownerReferences" not in each["metadata"]


def test_it_may_read_what_discovery_reads_in_its_namespace_and_nothing_else():
    things = planned()
    rules = things["Role"]["rules"]
    assert {resource for rule in rules for resource in rule["resources"]} == {"modeldeployments", "endpointslices"}
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert things["RoleBinding"]["roleRef"]["kind"] == "Role"
    assert things["RoleBinding"]["subjects"] == [
        {"kind": "ServiceAccount", "name": "fastchat-gateway", "namespace": "team"}
    ]
    assert pod()["serviceAccountName"] == "fastchat-gateway"


def test_the_service_reaches_its_pods():
    things = planned()
    labels = things["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert things["Service"]["spec"]["selector"].items() <= labels.items()
    assert things["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (port,) = things["Service"]["spec"]["ports"]
    assert port["targetPort"] in {each["name"] for each in container()["ports"]}


def test_it_passes_the_restricted_pod_security_standard_with_a_read_only_root():
    security = container()["securityContext"]
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not security["allowPrivilegeEscalation"]
    assert security["readOnlyRootFilesystem"]
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_no_request_is_lost_when_a_gateway_pod_is_replaced():
    deployment = planned(gateway={"gracePeriodSeconds": 40})["Deployment"]["spec"]
    inside = deployment["template"]["spec"]
    wait = inside["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "--grace-period-seconds=40" in inside["containers"][0]["args"]
    assert inside["terminationGracePeriodSeconds"] > 40 + wait


def test_settings_reach_the_gateway():
    settings = {
        "gateway": {
            "replicas": 3,
            "args": ["--queue-max-requests=9"],
            "resources": {"limits": {"memory": "1Gi"}},
            "nodeSelector": {"pool": "web"},
            "tolerations": [{"key": "web", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "priorityClassName": "high",
        },
        "images": {"gateway": "g:1", "pullSecrets": ["registry"]},
    }
    inside = pod(**settings)
    assert planned(**settings)["Deployment"]["spec"]["replicas"] == 3
    assert container(**settings)["args"][-1] == "--queue-max-requests=9"
    assert container(**settings)["resources"] == {"limits": {"memory": "1Gi"}}
    assert container(**settings)["image"] == "g:1"
    assert (inside["nodeSelector"], inside["affinity"]) == ({"pool": "web"}, {"podAntiAffinity": {}})
    assert inside["tolerations"] == [{"key": "web", "operator": "Exists"}]
    assert (inside["priorityClassName"], inside["imagePullSecrets"]) == ("high", [{"name": "registry"}])


def test_the_namespaces_api_keys_are_mounted_and_need_not_be_there():
    (volume,) = (each for each in pod()["volumes"] if each["name"] == "keys")
    (mount,) = (each for each in container()["volumeMounts"] if each["name"] == "keys")
    assert volume["secret"] == {"secretName": "fastchat-keys", "optional": True}
    assert f"--keys-dir={mount['mountPath']}" in container()["args"]


def test_a_gateway_that_requires_keys_is_told_so():
    assert "--require-api-keys" in container(gateway={"requireApiKeys": True})["args"]
    assert "--require-api-keys" not in container()["args"]


def test_a_gateway_without_a_page_is_told_so():
    assert "--no-page" in container(gateway={"page": False})["args"]
    assert pod(gateway={"page": True}) == pod()


def test_origins_of_web_pages_reach_it_and_without_any_its_pods_are_as_they_were():
    allowed = container(gateway={"allowedOrigins": ["https://a.example", "http://localhost:3000"], "args": ["--x"]})
    assert allowed["args"][-2:] == ["--allowed-origins=https://a.example,http://localhost:3000", "--x"]
    assert pod(gateway={"allowedOrigins": []}) == pod()
    assert not any("allowed" in argument for argument in container()["args"])


@pytest.mark.parametrize("origin", ["a.example", "https://a.example/", "https://a,https://b", "null", ""])
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ValidationError):
        container(gateway={"allowedOrigins": [origin]})


def test_it_gets_the_token_of_its_namespace():
    reference = {"secretKeyRef": {"name": "fastchat-internal", "key": "token"}}
    assert {"name": "FASTCHAT_INTERNAL_TOKEN", "valueFrom": reference} in container()["env"]


def test_variables_of_the_settings_follow_its_own_in_their_order():
    mine = [
        {"name": "OTEL_TRACES_SAMPLER_ARG", "value": "0.05"},
        {"name": "EMPTY", "value": ""},
        {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    assert container(gateway={"env": mine})["env"] == [*container()["env"], *mine]


def test_the_variables_that_it_gets_are_those_that_no_setting_may_name():
    assert {each["name"] for each in container()["env"]} == RESERVED_IN_GATEWAYS


def test_network_policies_are_there_unless_a_setting_leaves_them_out():
    assert "NetworkPolicy" in planned()
    assert "NetworkPolicy" not in planned(networkPolicy={"enabled": False})


def test_workers_are_reached_by_their_gateways_and_gateways_by_whoever_may():
    peers = {"gatewayFrom": [{"namespaceSelector": {}}], "workerFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    things = gateway.plan("team", Settings.model_validate({"networkPolicy": {"enabled": True, **peers}}))
    policies = {each["metadata"]["name"]: each["spec"] for each in things if each["kind"] == "NetworkPolicy"}
    deployment = next(each for each in things if each["kind"] == "Deployment")
    of_gateways, of_workers = policies["fastchat-gateway"], policies["fastchat-workers"]
    assert of_gateways["podSelector"]["matchLabels"].items() <= labels_of_pods(deployment).items()
    assert of_gateways["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}], "from": peers["gatewayFrom"]}]
    gateways = {"podSelector": of_gateways["podSelector"]}
    assert of_workers["ingress"][0]["from"] == [gateways, *peers["workerFrom"]]
    assert of_workers["ingress"][0]["ports"] == [{"port": 8000, "protocol": "TCP"}]


def policy_of_workers(**wanted):
    things = gateway.plan("team", Settings.model_validate({"networkPolicy": wanted}))
    return next(each["spec"] for each in things if each["metadata"]["name"] == "fastchat-workers")


def test_by_default_gateways_are_asked_by_everyone_and_workers_reach_whom_they_like():
    things = gateway.plan("team", Settings())
    (of_gateways,) = [each["spec"] for each in things if each["kind"] == "NetworkPolicy"][:1]
    assert of_gateways["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}]}]
    assert policy_of_workers()["policyTypes"] == ["Ingress"]


def test_workers_whose_way_out_is_limited_reach_dns_and_whom_the_setting_names():
    hub = {"ipBlock": {"cidr": "192.0.2.0/24"}}
    closed = policy_of_workers(workerEgress={"enabled": True})
    opened = policy_of_workers(workerEgress={"enabled": True, "to": [hub]})
    (dns,) = closed["egress"]
    assert dns["to"] == [{"namespaceSelector": {}}]
    assert [(each["port"], each["protocol"]) for each in dns["ports"]] == [(53, "UDP"), (53, "TCP")]
    assert policy_of_workers(workerEgress={"enabled": True, "dns": []})["egress"] == [{"ports": dns["ports"]}]
    assert opened["egress"] == [dns, {"to": [hub]}]
    assert closed["policyTypes"] == opened["policyTypes"] == ["Ingress", "Egress"]


def test_the_network_policy_of_workers_selects_the_workers(model):
    things = gateway.plan("team", Settings.model_validate({"networkPolicy": {"enabled": True}}))
    policy = next(each for each in things if each["metadata"]["name"] == "fastchat-workers")
    _, workers = worker.plan(model(), Settings())
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels_of_pods(workers).items()


def test_only_what_changed_has_another_mark():
    def marks(**settings):
        annotations = {kind: each["metadata"]["annotations"] for kind, each in planned(**settings).items()}
        return {kind: each["fastchat.io/applied-hash"] for kind, each in annotations.items()}

    for change in ({"replicas": 5}, {"env": [{"name": "A", "value": "1"}]}):
        before, after = marks(), marks(gateway=change)
        assert {kind for kind in before if before[kind] != after[kind]} == {"Deployment"}
