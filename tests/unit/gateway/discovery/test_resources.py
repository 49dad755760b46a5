from typing import Any

import pytest

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_gateway.discovery.resources import (
    Slice,
    UnreadableError,
    adapter_records,
    read_endpoint_slice,
    read_model_deployment,
    records,
)
from fastchat_gateway.routing.catalog import EndpointRecord, QueueLimits

READY = {"ready": True, "serving": True, "terminating": False}


def endpoint(address: str = "10.0.0.1", uid: str = "u1", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "name": "p", "uid": uid}}


def endpoint_slice(*endpoints: dict[str, Any], **fields: Any) -> Slice:
    """As the API server would tell of it."""
    labels = {"fastchat.io/model-deployment": "m", "kubernetes.io/service-name": "m-worker"}
    thing = {
        "metadata": {"name": "m-worker-x", "namespace": "team", "resourceVersion": "7", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "metrics", "port": 9000}, {"name": "http", "port": 8000, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }
    return read_endpoint_slice(thing | fields)


def deployment(name: str = "m", second: int = 0, deleted: bool = False, **spec: Any) -> ModelDeployment:
    """Made at this second of a minute."""
    spec["model"] = {"source": "hf://org/m", **spec.get("model", {})}
    metadata = {"name": name, "namespace": "team", "uid": "x", "creationTimestamp": f"2026-01-02T03:04:{second:02}Z"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-02T04:00:00Z"
    thing = {"apiVersion": "fastchat.io/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
    return read_model_deployment(thing)


def names(*deployments: ModelDeployment) -> dict[str, tuple[str, ...]]:
    return {key: record.names for key, record in records(deployments, [], {}).items()}


# EndpointSlices


def test_a_worker_is_at_the_port_named_http() -> None:
    assert endpoint_slice(endpoint(**READY)) == Slice("m", (EndpointRecord("http://10.0.0.1:8000", True, "u1"),))


def test_without_a_port_named_http_a_worker_is_at_the_first() -> None:
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    assert endpoint_slice(endpoint(), ports=ports).endpoints[0].url == "http://10.0.0.1:1"


@pytest.mark.parametrize("ports", [None, [], [{"name": "http"}]])
def test_without_a_port_there_is_no_worker(ports: Any) -> None:
    assert endpoint_slice(endpoint(), ports=ports).endpoints == ()


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert endpoint_slice(endpoint("fd00::1"), addressType="IPv6").endpoints[0].url == "http://[fd00::1]:8000"


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ({}, True),
        ({"ready": True}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": True, "serving": True, "terminating": True}, False),
    ],
)
def test_a_worker_takes_requests_unless_it_is_said_to_be_unready_or_to_end(
    conditions: dict[str, bool], ready: bool
) -> None:
    assert endpoint_slice(endpoint(**conditions)).endpoints[0].ready is ready


def test_a_slice_without_endpoints_has_none() -> None:
    assert endpoint_slice(endpoints=None).endpoints == ()


# ModelDeployments


def test_a_field_that_a_newer_version_has_added_is_passed_over() -> None:
    read = deployment(model={"name": "x", "shards": 4}, speculation={"draft": "y"})
    assert read.name == "x"


def test_what_cannot_be_read_is_said_on_one_line() -> None:
    with pytest.raises(UnreadableError, match=r"^spec\.model\.source: .*'ftp'.*; spec\.replicas: [^\n]*$"):
        deployment(model={"source": "ftp://x"}, replicas="many")


@pytest.mark.parametrize("thing", [{}, {"metadata": {"name": "m"}, "spec": 7}, {"metadata": "m"}])
def test_nonsense_is_unreadable(thing: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        read_model_deployment(thing)


# Records


def test_a_record_says_what_the_model_deployment_says() -> None:
    read = deployment(
        model={"name": "vicuna", "aliases": ["gpt"], "task": "Generate", "source": "hf://org/m@v2"},
        queue={"maxRequests": 3, "timeoutSeconds": 9},
        loadBalancing="PrefixHash",
    )
    record = records([read], [endpoint_slice(endpoint())], {"m": 4096})["m"]
    assert (record.name, record.names) == ("vicuna", ("vicuna", "gpt"))
    assert record.endpoints == (EndpointRecord("http://10.0.0.1:8000", True, "u1"),)
    assert (record.task, record.max_model_len, record.root, record.created) == (
        "Generate",
        4096,
        "hf://org/m@v2",
        1767323040,
    )
    assert (record.queue, record.load_balancing) == (QueueLimits(3, 9), "PrefixHash")


def test_of_two_that_want_a_name_the_older_has_it_be_it_an_alias() -> None:
    young = deployment("young", 2, model={"name": "a", "aliases": ["y"]})
    old = deployment("old", 1, model={"name": "x", "aliases": ["a"]})
    assert names(young, old) == {"old": ("x", "a"), "young": ("y",)}


def test_one_that_has_lost_all_its_names_serves_nothing() -> None:
    assert names(deployment("old", 1, model={"name": "x"}), deployment("young", 2, model={"name": "x"})) == {
        "old": ("x",)
    }


def test_one_that_is_being_deleted_serves_nothing_and_leaves_its_names_to_the_next() -> None:
    going = deployment("going", 1, deleted=True, model={"name": "x"})
    assert names(going, deployment("next", 2, model={"name": "x"})) == {"next": ("x",)}


def test_workers_of_several_slices_serve_one_model_and_others_do_not() -> None:
    other = Slice("other", (EndpointRecord("http://10.0.0.9:8000", True, "u9"),))
    slices = [endpoint_slice(endpoint("10.0.0.1", "u1")), other, endpoint_slice(endpoint("10.0.0.2", "u2"))]
    urls = [each.url for each in records([deployment()], slices, {})["m"].endpoints]
    assert urls == ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_pod_in_two_slices_is_one_worker_ready_if_one_says_so(turn: int) -> None:
    slices = [endpoint_slice(endpoint(ready=False)), endpoint_slice(endpoint(ready=True))][::turn]
    assert [each.ready for each in records([deployment()], slices, {})["m"].endpoints] == [True]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_pod_with_two_addresses_is_one_worker_at_always_the_same(turn: int) -> None:
    slices = [endpoint_slice(endpoint()), endpoint_slice(endpoint("fd00::1"), addressType="IPv6")][::turn]
    assert [each.url for each in records([deployment()], slices, {})["m"].endpoints] == ["http://10.0.0.1:8000"]


def test_two_pods_that_have_one_address_after_another_are_two_workers() -> None:
    slices = [endpoint_slice(endpoint(uid="u1", ready=False)), endpoint_slice(endpoint(uid="u2"))]
    found = records([deployment()], slices, {})["m"].endpoints
    assert [(each.uid, each.ready) for each in found] == [("u1", False), ("u2", True)]


# Adapters


def adapted(name: str = "m", *adapters: str, **spec: Any) -> ModelDeployment:
    return deployment(
        name, model={"adapters": [{"name": each, "source": f"hf://t/{each}"} for each in adapters]}, **spec
    )


def test_an_adapter_is_a_model_of_its_own_on_the_workers_of_its_base() -> None:
    known, slices = [adapted("m", "sql", replicas=3)], [endpoint_slice(endpoint(**READY))]
    models = records(known, slices, {"m": 4096})
    (adapter,) = adapter_records(known, models)
    assert models["m"].names == ("m",)
    assert (adapter.name, adapter.names, adapter.parent, adapter.root) == ("sql", ("sql",), "m", "hf://t/sql")
    assert (adapter.endpoints, adapter.replicas, adapter.max_model_len) == (models["m"].endpoints, 3, 4096)


def test_a_name_that_an_older_deployment_has_is_no_adapters() -> None:
    known = [deployment("sql", second=1), adapted("m", "sql", "law", second=2)]
    assert [each.name for each in adapter_records(known, records(known, [], {}))] == ["law"]


def test_adapters_of_a_deployment_that_serves_nothing_are_not_served() -> None:
    known = [adapted("m", "sql", deleted=True)]
    assert adapter_records(known, records(known, [], {})) == []


# What only people read


def _with_status(status: Any) -> ModelDeployment:
    metadata = {"name": "m", "namespace": "team", "creationTimestamp": "2026-01-02T03:04:00Z"}
    spec = {"model": {"source": "hf://org/m"}}
    return read_model_deployment({"metadata": metadata, "spec": spec, "status": status})


def test_the_root_cause_that_the_operator_found_is_kept_for_people() -> None:
    condition = {"type": "Ready", "status": "False", "reason": "Unschedulable", "message": "no GPU is free"}
    found = _with_status({"replicas": 1, "conditions": [condition | {"lastTransitionTime": "2026-01-02T03:04:05Z"}]})
    status = records([found], [], {})["m"].status
    assert status is not None
    assert status["conditions"][0].items() >= condition.items()


@pytest.mark.parametrize("status", [None, {}, {"conditions": "none"}, {"conditions": [{"type": "Ready"}]}])
def test_a_status_that_makes_no_sense_takes_no_model_away(status: Any) -> None:
    record = records([_with_status(status)], [], {})["m"]
    assert record.names == ("m",)
    assert not (record.status or {}).get("conditions")


def test_a_status_alone_wakes_nobody_who_waits() -> None:
    condition = {"type": "Ready", "status": "False", "reason": "A", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    before, after = (records([_with_status(each)], [], {})["m"] for each in ({}, {"conditions": [condition]}))
    assert (before, before.status) != (after, after.status)
    assert before == after
