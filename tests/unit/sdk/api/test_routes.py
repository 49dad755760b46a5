"""The table of the API's routes."""

import pytest

from fastchat.api.routes import ROUTES, Route


def test_each_path_and_each_name_stands_once():
    assert len({route.path for route in ROUTES}) == len({route.name for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_route_streams_where_its_request_can_ask_for_it(route: Route):
    assert (route.event is not None) == (route.request is not None and "stream" in route.request.model_fields)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_what_is_relayed_names_its_model_and_its_operation(route: Route):
    relayed = route.task is not None
    assert relayed == bool(route.operation)
    assert relayed == (route.request is not None and "model" in route.request.model_fields)
