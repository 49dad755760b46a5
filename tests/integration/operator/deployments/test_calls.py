"""Users' calls about ModelDeployments, before a real API server."""

import json
import threading

import pytest
from integration.operator.team import model

from fastchat import deployments as module
from fastchat import errors
from fastchat.deployments import calls, manifest
from fastchat.v1alpha1.deployment import ModelDeployment

SOURCE = "hf://org/name"


def test_one_that_was_made_is_there(deployments, team):
    made = deployments.create(manifest("vicuna", SOURCE, gpus=1, labels={"team": "a"}))
    assert deployments.get("vicuna") == made
    assert made.spec.gpus == 1
    assert team.get("modeldeployments", "vicuna")["metadata"]["labels"] == {"team": "a"}


def test_a_manifest_as_yaml_has_it_is_taken(deployments):
    assert deployments.create(model("vicuna", replicas=2)).spec.replicas == 2


def test_a_second_one_of_a_name_is_a_conflict(deployments):
    deployments.create(manifest("vicuna", SOURCE))
    with pytest.raises(errors.DeploymentConflictError, match="already exists: apply changes the one that is there"):
        deployments.create(manifest("vicuna", SOURCE))


def test_apply_leaves_what_others_have_set(deployments, team):
    deployments.apply(manifest("vicuna", SOURCE))
    team.patch("modeldeployments", "vicuna", {"spec": {"replicas": 3}})
    changed = deployments.apply(manifest("vicuna", SOURCE, gpus=2))
    assert (changed.spec.replicas, changed.spec.gpus) == (3, 2)


def test_a_field_that_somebody_else_owns_is_taken_over_only_by_force(deployments, team):
    team.apply(model("vicuna", replicas=2))
    wanted = manifest("vicuna", SOURCE, replicas=5)
    with pytest.raises(errors.DeploymentConflictError, match=r'conflict with "team".*with force the fields are taken'):
        deployments.apply(wanted)
    assert deployments.apply(wanted, force=True).spec.replicas == 5


def test_one_that_was_read_can_be_changed_and_applied(deployments):
    deployments.apply(manifest("vicuna", SOURCE))
    there = deployments.get("vicuna")
    spec = there.spec.model_copy(update={"gpus": 4})
    assert deployments.apply(there.model_copy(update={"spec": spec})).spec.gpus == 4


def test_a_wrong_field_is_named_before_anything_is_sent(deployments, team):
    with pytest.raises(errors.DeploymentInvalidError, match=r"spec\.gpu"):
        deployments.apply(model("vicuna", gpu=1))
    assert team.names("modeldeployments") == set()


def test_what_only_the_api_server_refuses_is_told_in_one_line(deployments, monkeypatch):
    monkeypatch.setattr("fastchat.deployments.blocking.body_of", _unchecked)
    monkeypatch.setattr("fastchat.deployments.awaited.body_of", _unchecked)
    with pytest.raises(errors.DeploymentInvalidError) as caught:
        deployments.create(model("vicuna", gpus=1000, replicas=-1))
    assert "spec.gpus" in str(caught.value)
    assert "spec.replicas" in str(caught.value)
    assert "\n" not in str(caught.value)


def _unchecked(given, namespace):
    return given | {"metadata": given["metadata"] | {"namespace": namespace}}


def test_they_are_listed_by_name(deployments, team):
    team.apply(model("b"), model("a"))
    assert [each.metadata.name for each in deployments.list()] == ["a", "b"]
    assert {"a", "b"} <= {each.metadata.name for each in deployments.list(all_namespaces=True)}


def test_scaling_leaves_the_rest(deployments, team):
    team.apply(model("vicuna", gpus=2))
    assert deployments.scale("vicuna", 4).spec.replicas == 4
    assert deployments.get("vicuna").spec.gpus == 2


@pytest.mark.parametrize("replicas", [-1, 1.5, True, 1001])
def test_what_is_no_number_of_workers_is_refused(deployments, replicas):
    with pytest.raises(errors.DeploymentInvalidError, match="0 to 1000"):
        deployments.scale("vicuna", replicas)


def test_one_that_was_deleted_is_not_found(deployments, team):
    team.apply(model("vicuna"))
    deployments.delete("vicuna")
    for call in (deployments.get, deployments.delete):
        with pytest.raises(errors.DeploymentNotFoundError, match='"vicuna" not found: list tells which there are'):
            call("vicuna")


def test_who_may_not_is_told_what_to_ask_for(open_deployments, api_server, admin):
    with pytest.raises(errors.KubernetesError, match=r"nobody.*cannot list.*ask for a Role") as caught:
        open_deployments(api_server.kubeconfig_for("nobody")).list()
    assert (caught.value.status_code, caught.value.reason) == (403, "Forbidden")


def test_a_cluster_that_is_not_there_is_named(open_deployments, api_server, tmp_path):
    config = json.loads(api_server.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    with pytest.raises(errors.KubernetesError, match=r"https://127\.0\.0\.1:9 was not reached.*KUBECONFIG") as caught:
        open_deployments(path).list()
    assert caught.value.status_code == 0


def test_no_kubeconfig_is_told(open_deployments, tmp_path):
    with pytest.raises(errors.KubernetesError, match="set KUBECONFIG, or name a kubeconfig"):
        open_deployments(tmp_path / "none").list()


def test_the_module_speaks_to_the_cluster_that_kubectl_would(admin, api_server, team, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))
    module.apply(module.manifest("vicuna", SOURCE), namespace=team.name)
    assert isinstance(module.get("vicuna", namespace=team.name), ModelDeployment)
    assert module.scale("vicuna", 2, namespace=team.name).spec.replicas == 2
    assert len(module.list(namespace=team.name)) == 1
    module.delete("vicuna", namespace=team.name)
    assert module.list(namespace=team.name) == []


# Waiting and watching


def test_one_that_no_operator_looks_at_is_not_waited_for_for_ever(deployments, team):
    team.apply(model("vicuna"))
    with pytest.raises(errors.DeploymentTimeoutError, match="does FastChat's operator run"):
        deployments.wait_ready("vicuna", timeout=0.5)


def told(events):
    return [(event.type, event.deployment.metadata.name, event.deployment.spec.replicas) for event in events]


def test_a_watch_tells_what_is_there_and_what_happens(deployments, team):
    team.apply(model("there"))
    events = deployments.watch(timeout=60)
    seen = [next(events)]
    team.apply(model("new"))
    seen.append(next(events))
    team.patch("modeldeployments", "new", {"spec": {"replicas": 3}})
    seen.append(next(events))
    team.delete("modeldeployments", "new")
    seen.append(next(events))
    assert told(seen) == [("added", "there", 1), ("added", "new", 1), ("modified", "new", 3), ("deleted", "new", 3)]


def test_a_watch_of_one_tells_of_no_other(deployments, team):
    team.apply(model("one"), model("other"))
    assert told(deployments.watch("one", timeout=0.5)) == [("added", "one", 1)]


def test_a_watch_that_the_api_server_ends_goes_on_and_tells_nothing_twice(deployments, team, monkeypatch):
    monkeypatch.setattr(calls, "_WATCH_SECONDS", 1)
    team.apply(model("vicuna"))
    timer = threading.Timer(1.3, team.patch, ("modeldeployments", "vicuna", {"spec": {"replicas": 2}}))
    timer.start()
    try:
        assert told(deployments.watch(timeout=2.5)) == [("added", "vicuna", 1), ("modified", "vicuna", 2)]
    finally:
        timer.join()
