"""What the operator knows, from events and listings in whatever order they come."""

import copy

import pytest

from fastchat_operator.key import GatewayKey, ModelKey
from fastchat_operator.kube.kind import DEPLOYMENT, MODEL_DEPLOYMENT, POD, REPLICA_SET, SERVICE
from fastchat_operator.store import Store

VICUNA = ModelKey("team", "vicuna")
GATEWAY = GatewayKey("team")


@pytest.fixture
def store(resource) -> Store:
    """Knows one ModelDeployment."""
    known = Store()
    known.see(MODEL_DEPLOYMENT, resource())
    return known


def version(thing, number):
    changed = copy.deepcopy(thing)
    changed["metadata"]["resourceVersion"] = str(number)
    return changed


def labelled(thing, number, labels):
    changed = version(thing, number)
    changed["metadata"]["labels"] = labels
    return changed


# --- what concerns whom


def test_a_model_concerns_itself_and_its_gateway(resource):
    assert Store().see(MODEL_DEPLOYMENT, resource()) == {VICUNA, GATEWAY}


def test_a_child_and_a_pod_concern_their_model(store, workload, pod):
    assert store.see(DEPLOYMENT, workload("vicuna")) == {VICUNA}
    assert store.see(POD, pod()) == {VICUNA}
    assert store.forget(POD, pod()) == {VICUNA}


def test_the_gateways_state_concerns_every_model_of_its_namespace(store, resource, workload):
    store.see(MODEL_DEPLOYMENT, resource("other"))
    assert store.see(DEPLOYMENT, workload()) == {GATEWAY, VICUNA, ModelKey("team", "other")}
    assert store.forget(DEPLOYMENT, workload()) == {GATEWAY, VICUNA, ModelKey("team", "other")}


def test_the_gateways_service_concerns_the_gateway_alone(store, workload):
    assert store.see(SERVICE, workload() | {"kind": "Service"}) == {GATEWAY}


def test_a_child_that_lost_its_label_concerns_the_model_that_had_it(store, workload):
    child = workload("vicuna")
    store.see(DEPLOYMENT, child)
    assert store.see(DEPLOYMENT, labelled(child, 2, {})) == {VICUNA}
    assert store.workload(VICUNA) is None


def test_every_model_and_every_namespace_with_something_in_it_is_a_key(store, workload):
    elsewhere = workload()
    elsewhere["metadata"]["namespace"] = "empty"
    store.see(DEPLOYMENT, elsewhere)
    assert set(store.keys()) == {VICUNA, GATEWAY, GatewayKey("empty")}


# --- what is newer


def test_an_event_that_is_older_than_what_is_known_is_ignored(store, workload):
    store.see(DEPLOYMENT, workload("vicuna", version=10, readyReplicas=1))
    assert store.see(DEPLOYMENT, workload("vicuna", version=9)) == set()
    assert store.workload(VICUNA)["status"]["readyReplicas"] == 1


def test_what_is_known_already_concerns_nobody(store, workload):
    store.see(DEPLOYMENT, workload("vicuna"))
    assert store.see(DEPLOYMENT, workload("vicuna")) == set()


def test_versions_are_numbers_not_texts(store, workload):
    store.see(DEPLOYMENT, workload("vicuna", version=9))
    assert store.see(DEPLOYMENT, workload("vicuna", version=10))


def test_an_object_that_was_made_anew_is_not_forgotten_with_its_predecessor(store, workload):
    old, new = workload("vicuna"), workload("vicuna", version=5)
    new["metadata"]["uid"] = "new"
    store.see(DEPLOYMENT, old)
    store.see(DEPLOYMENT, new)
    assert store.forget(DEPLOYMENT, old) == set()
    assert store.workload(VICUNA) == new


def test_an_object_that_got_its_label_back_is_not_forgotten_by_the_late_word_that_it_lost_it(store, workload):
    store.see(DEPLOYMENT, workload("vicuna", version=11))
    assert store.forget(DEPLOYMENT, workload("vicuna", version=10)) == set()
    assert store.workload(VICUNA) is not None


def test_what_is_not_known_cannot_be_forgotten(store, workload, pod):
    assert store.forget(DEPLOYMENT, workload("vicuna")) == set()
    assert store.forget(POD, pod()) == set()


# --- listings


def test_what_a_listing_does_not_have_any_more_is_gone(store, workload):
    store.see(DEPLOYMENT, workload("vicuna"))
    assert store.replace(DEPLOYMENT, [], None, store.snapshot(DEPLOYMENT)) == {VICUNA}
    assert store.workload(VICUNA) is None


def test_what_was_made_while_the_listing_was_read_stays(store, workload):
    before = store.snapshot(DEPLOYMENT)
    store.see(DEPLOYMENT, workload("vicuna"))
    store.replace(DEPLOYMENT, [], None, before)
    assert store.workload(VICUNA) is not None


def test_what_went_while_the_listing_was_read_does_not_come_back_with_it(store, workload):
    child = workload("vicuna")
    store.see(DEPLOYMENT, child)
    before = store.snapshot(DEPLOYMENT)
    store.forget(DEPLOYMENT, child)
    assert store.replace(DEPLOYMENT, [child], None, before) == set()
    assert store.workload(VICUNA) is None


def test_a_listing_of_one_namespace_says_nothing_of_another(store, workload):
    store.see(DEPLOYMENT, workload("vicuna"))
    store.replace(DEPLOYMENT, [], "other", store.snapshot(DEPLOYMENT))
    assert store.workload(VICUNA) is not None


# --- pods


def test_pods_are_found_by_their_model(store, pod):
    store.see(POD, pod("a"))
    store.see(POD, pod("b", of="other"))
    assert [each["metadata"]["name"] for each in store.pods(VICUNA)] == ["a"]
    assert store.pods(VICUNA)[0]["spec"] == {"nodeName": "node-1"}
    store.forget(POD, pod("a"))
    assert store.pods(VICUNA) == []


def test_a_pod_that_was_given_to_another_model_is_found_there_and_can_go(store, pod):
    store.see(POD, pod("a"))
    moved = pod("a", of="other")
    moved["metadata"]["resourceVersion"] = "2"
    assert store.see(POD, moved) == {VICUNA, ModelKey("team", "other")}
    assert store.pods(VICUNA) == []
    store.forget(POD, moved)
    assert store.pods(ModelKey("team", "other")) == []


# --- names


def conflicts(store, name):
    return store.name_conflicts(store.model(ModelKey("team", name)))


def test_of_two_models_with_one_name_the_older_has_it(store, resource):
    young = resource("young", created="2026-11-23T05:00:00Z", model={"name": "vicuna", "aliases": ["gpt"]})
    assert store.see(MODEL_DEPLOYMENT, young) == {ModelKey("team", "young"), VICUNA, GATEWAY}
    assert conflicts(store, "young") == [("vicuna", "vicuna")]
    assert conflicts(store, "vicuna") == []


def test_a_name_moves_when_the_older_one_goes(store, resource):
    store.see(MODEL_DEPLOYMENT, resource("young", created="2026-11-23T05:00:00Z", model={"name": "vicuna"}))
    assert ModelKey("team", "young") in store.forget(MODEL_DEPLOYMENT, resource())
    assert conflicts(store, "young") == []


def test_a_name_moves_as_soon_as_the_older_one_is_being_deleted(store, resource):
    store.see(MODEL_DEPLOYMENT, resource("young", created="2026-11-23T05:00:00Z", model={"name": "vicuna"}))
    going = version(resource(), 2)
    going["metadata"]["deletionTimestamp"] = "2026-11-23T06:00:00Z"
    assert ModelKey("team", "young") in store.see(MODEL_DEPLOYMENT, going)
    assert conflicts(store, "young") == []


def test_a_name_moves_when_the_older_one_is_renamed(store, resource):
    store.see(MODEL_DEPLOYMENT, resource("young", created="2026-11-23T05:00:00Z", model={"aliases": ["vicuna"]}))
    assert conflicts(store, "young") == [("vicuna", "vicuna")]
    assert ModelKey("team", "young") in store.see(MODEL_DEPLOYMENT, version(resource(model={"name": "other"}), 2))
    assert conflicts(store, "young") == []


def test_a_name_is_free_in_another_namespace(store, resource):
    elsewhere = resource()
    elsewhere["metadata"] |= {"namespace": "other", "uid": "2"}
    store.see(MODEL_DEPLOYMENT, elsewhere)
    assert store.name_conflicts(store.model(ModelKey("other", "vicuna"))) == []


def test_of_two_made_in_the_same_second_the_first_by_name_has_it(store, resource):
    store.see(MODEL_DEPLOYMENT, resource("a", model={"name": "vicuna"}))
    assert conflicts(store, "vicuna") == [("vicuna", "a")]


# --- resources of other versions


def test_a_status_of_another_version_does_not_keep_a_model_from_being_served(resource):
    strange = resource() | {"status": {"fieldOfTomorrow": 1, "conditions": [{"type": "Sleeping"}]}}
    store = Store()
    store.see(MODEL_DEPLOYMENT, strange)
    assert store.model(VICUNA).status is None


def test_a_spec_of_another_version_is_left_alone_and_claims_no_name(store, resource):
    strange = version(resource(fieldOfTomorrow=1), 2)
    assert store.see(MODEL_DEPLOYMENT, strange) == {VICUNA, GATEWAY}
    assert store.model(VICUNA) is None
    store.see(MODEL_DEPLOYMENT, resource("other", model={"aliases": ["vicuna"]}))
    assert conflicts(store, "other") == []


def test_workloads_are_those_of_models_that_are_there_and_of_their_gateways(store, workload):
    for of in ("vicuna", "nobody", ""):
        store.see(DEPLOYMENT, workload(of))
    stranger = workload("vicuna")
    stranger["metadata"] |= {"name": "another", "uid": "uid-another"}
    store.see(DEPLOYMENT, stranger)
    assert {key: there["metadata"]["name"] for key, there in store.workloads()} == {
        VICUNA: "vicuna-worker",
        GATEWAY: "fastchat-gateway",
    }


# --- whose a pod is


def owned(thing, kind, name, uid, controller=True):
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": controller}
    changed = copy.deepcopy(thing)
    changed["metadata"]["ownerReferences"] = [reference]
    return changed


def replica_set(workload, owner):
    made = workload()
    made["metadata"] |= {"name": "gateway-1", "uid": "set"}
    return owned(made, "Deployment", "fastchat-gateway", owner)


@pytest.mark.parametrize(
    ("owner", "of_set", "is_gateways"),
    [("set", "gateway", True), ("set", "another", False), ("other set", "gateway", None), (None, "gateway", False)],
    ids=["ours", "another Deployment's", "of a ReplicaSet not seen yet", "nobody's"],
)
def test_a_pod_is_the_gateways_by_way_of_its_replica_set_and_not_by_its_labels(
    store, workload, pod, owner, of_set, is_gateways
):
    gateway = workload()
    gateway["metadata"]["uid"] = "gateway"
    store.see(DEPLOYMENT, gateway)
    assert store.see(REPLICA_SET, replica_set(workload, of_set)) <= {GATEWAY}
    asked = owned(pod(), "ReplicaSet", "gateway-1", owner) if owner else pod()
    assert store.is_gateways(asked) is is_gateways
