"""The worker serves the API's routes and, of its own, those that are named here."""

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from support.routes import DOCS, TABLE, documented, method_and_path, served

from fastchat._runtime.resuming import HANDOVER_PATH
from fastchat.api.routes import ROUTES
from fastchat_worker.http.app import create_app
from fastchat_worker.http.refusal import PROBES
from fastchat_worker.serving.service import Service
from fastchat_worker.settings import Settings


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Service(Settings(model_name="tiny", model_path="")))


def test_the_routes_are_those_of_the_table_and_the_workers_own(app):
    own = {("GET", path) for path in PROBES} | {("POST", HANDOVER_PATH)} | DOCS
    assert served(app) == {method_and_path(route) for route in ROUTES} | own


def test_the_gateway_asks_for_nothing_that_is_not_served(app):
    assert {("POST" if route.request else "GET", route.worker_path) for route in ROUTES} <= served(app)


def test_requests_responses_and_streams_are_described_as_the_table_has_them(app):
    assert documented(app.openapi()) == TABLE


def test_the_page_for_people_has_every_route_and_asks_no_other_server(app):
    page = TestClient(app).get("/docs")
    assert [route.path for route in ROUTES if route.path.replace(":path}", "}") not in page.text] == []
    assert "//" not in page.text.replace("<!DOCTYPE html>", "")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
