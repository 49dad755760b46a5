"""The gateway serves the API's routes and, of its own, those that are named here."""

import pytest
from fastapi import FastAPI
from support.routes import DOCS, TABLE, documented, method_and_path, served

from fastchat.api.routes import ROUTES
from fastchat_gateway.access.internal import INTERNAL
from fastchat_gateway.app import build
from fastchat_gateway.proxy.gateway import PROBES
from fastchat_gateway.routing.paths import INFERENCE
from fastchat_gateway.settings import Settings


@pytest.fixture(scope="module")
def app() -> FastAPI:
    pages = build(Settings(access_log=False)).config.app
    assert isinstance(pages, FastAPI)
    return pages


def test_the_routes_are_those_of_the_table_and_the_gateways_own(app):
    own = {("GET", path) for path in {*PROBES, *INTERNAL, "/", "/web/{_:path}"}} | DOCS
    assert served(app) == {method_and_path(route) for route in ROUTES} | own


def test_what_no_worker_does_has_a_page_and_what_one_does_is_relayed(app):
    """A route that is only described is for the document: the page of it would fail."""
    pages = {page.path for page in app.routes if not getattr(page, "include_in_schema", False)}
    described_only = {route.path for route in ROUTES if route.request} - pages
    assert described_only == set(INFERENCE) == {route.path for route in ROUTES if route.task}


def test_requests_responses_and_streams_are_described_as_the_table_has_them(app):
    assert documented(app.openapi()) == TABLE
