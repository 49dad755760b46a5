import json

import pytest

from fastchat._kube import request
from fastchat._kube.kind import Kind

DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
SECRET = Kind("v1", "Secret", "secrets")
THING = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "team", "resourceVersion": "7"}}


@pytest.mark.parametrize(
    ("kind", "place", "path"),
    [
        (DEPLOYMENT, (), "/apis/apps/v1/deployments"),
        (DEPLOYMENT, ("team",), "/apis/apps/v1/namespaces/team/deployments"),
        (DEPLOYMENT, ("team", "d"), "/apis/apps/v1/namespaces/team/deployments/d"),
        (DEPLOYMENT, ("team", "d", "scale"), "/apis/apps/v1/namespaces/team/deployments/d/scale"),
        (DEPLOYMENT, (None, "d"), "/apis/apps/v1/deployments/d"),
        (SECRET, ("team", "s"), "/api/v1/namespaces/team/secrets/s"),
    ],
)
def test_a_path_says_group_version_namespace_name_and_subresource(
    kind: Kind, place: tuple[str | None, ...], path: str
) -> None:
    assert kind.path(*place) == path


def test_a_kind_is_named_as_people_write_it() -> None:
    assert (str(DEPLOYMENT), str(SECRET)) == ("deployments.apps/v1", "secrets/v1")


def test_a_listing_asks_for_a_page_and_the_one_after_it() -> None:
    first = request.listing(DEPLOYMENT, "team", "app=a,tier in (x)", limit=500)
    assert first.target == "/apis/apps/v1/namespaces/team/deployments?labelSelector=app%3Da%2Ctier+in+%28x%29&limit=500"
    assert request.listing(DEPLOYMENT, None, limit=500, following="a b").query == {"limit": "500", "continue": "a b"}
    assert request.listing(DEPLOYMENT, None).target == "/apis/apps/v1/deployments"


def test_a_watch_begins_at_a_version_ends_by_itself_and_brings_bookmarks() -> None:
    assert request.watch(SECRET, "team", "", "41", 30).query == {
        "watch": "1",
        "resourceVersion": "41",
        "allowWatchBookmarks": "1",
        "timeoutSeconds": "30",
    }


def test_an_apply_names_its_manager_and_takes_fields_over() -> None:
    made = request.apply(SECRET, THING, "me", "status")
    assert (made.method, made.path) == ("PATCH", "/api/v1/namespaces/team/secrets/s/status")
    assert made.query == {"fieldManager": "me", "force": "true"}
    assert made.headers == {"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"}
    assert json.loads(made.content or b"") == THING


def test_a_merge_patch_is_one_and_names_its_manager_where_it_has_one() -> None:
    made = request.merge(SECRET.path("team", "s"), {"data": {"a": None}})
    assert (made.method, made.target, made.content) == (
        "PATCH",
        "/api/v1/namespaces/team/secrets/s",
        b'{"data": {"a": null}}',
    )
    assert made.headers["Content-Type"] == "application/merge-patch+json"
    assert request.merge("/x", {}, "me").target == "/x?fieldManager=me"


def test_what_is_created_is_sent_to_its_kind_and_what_is_replaced_to_its_name() -> None:
    assert (request.create(SECRET, THING).method, request.create(SECRET, THING).path) == (
        "POST",
        "/api/v1/namespaces/team/secrets",
    )
    assert (request.replace(SECRET, THING).method, request.replace(SECRET, THING).path) == (
        "PUT",
        "/api/v1/namespaces/team/secrets/s",
    )


def test_a_delete_does_not_wait_for_what_the_object_owns() -> None:
    made = request.delete(SECRET, "team", "s")
    assert (made.method, made.query, made.content) == ("DELETE", {"propagationPolicy": "Background"}, None)
    assert made.headers == {"Accept": "application/json"}
