"""What is known of each namespace, and when the operator is ready."""

import pytest

from fastchat._kube.errors import ApiError
from fastchat_operator.kube.scopes import Scopes

FORBIDDEN, AWAY = ApiError(403, "forbidden"), ApiError(0, "not reached")


@pytest.fixture
def scopes():
    """Of an operator that acts on two namespaces."""
    two = Scopes(["a", "b"])
    with two.leading():
        yield two


def test_nothing_is_acted_on_before_it_is_known(scopes):
    a, _ = scopes
    assert not scopes.know("a")
    a.listed()
    assert scopes.know("a")
    assert not scopes.know("b")


def test_one_for_all_namespaces_knows_every_one():
    everywhere = Scopes([])
    with everywhere.leading():
        (scope,) = everywhere
        scope.listed()
        assert everywhere.know("any")


@pytest.mark.parametrize(("error", "holds"), [(AWAY, True), (ApiError(429, "busy"), True), (FORBIDDEN, False)])
def test_what_is_known_holds_while_the_api_server_is_away_and_not_where_it_refuses(scopes, error, holds):
    a, _ = scopes
    a.listed()
    a.failed(error)
    assert scopes.know("a") is holds
    assert scopes.report()["lost"]["a"] == str(error)


def test_it_is_ready_while_there_is_one_namespace_to_act_on(scopes):
    a, b = scopes
    assert not scopes.ready
    a.listed()
    b.failed(FORBIDDEN)
    assert scopes.ready
    a.failed(FORBIDDEN)
    assert not scopes.ready


def test_one_that_waits_for_the_lease_is_ready():
    waiting = Scopes(["a"])
    assert waiting.ready
    assert waiting.report()["status"] == "waiting for the Lease"


def test_without_the_crd_it_is_not_ready(scopes):
    for scope in scopes:
        scope.listed()
    scopes.trouble = "the CRD is not installed"
    assert not scopes.ready
    assert scopes.report() == {"status": "not ready", "trouble": "the CRD is not installed", "lost": {}}
