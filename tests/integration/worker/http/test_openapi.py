"""The worker keeps to the OpenAPI document that it serves."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fastchat_worker.http.app import create_app
from fastchat_worker.serving.service import Service
from fastchat_worker.settings import Settings

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
# schemathesis' own pytest integration (4.32) does not run under pytest 9.
DOCUMENT = create_app(Service(Settings(model_name="tiny", model_path=""))).openapi()
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()]
POSTS = [operation for operation in OPERATIONS if operation.method == "post"]


@pytest.fixture(scope="module")
def url(tiny):
    yield tiny.url
    body = {"model": "tiny", "prompt": "x", "max_tokens": 1}
    assert httpx.post(tiny.url + "/v1/completions", json=body).status_code == 200


def _keeps_to_the_document(url: str, cases: Any) -> None:
    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def run(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=CHECKS)

    run()


def _of_the_served_model(case: Any) -> Any:
    if "prompts" in case.body:
        case.body["prompts"] = [{**prompt, "model": "tiny"} for prompt in case.body["prompts"]]
    else:
        case.body |= {"model": "tiny", "n": 2} if "n" in case.body else {"model": "tiny"}
    return case


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_a_valid_request_gets_an_answer_that_is_described(url, operation):
    _keeps_to_the_document(url, operation.as_strategy())


@pytest.mark.parametrize("operation", POSTS, ids=lambda operation: operation.label)
def test_an_invalid_request_gets_an_answer_that_is_described(url, operation):
    _keeps_to_the_document(url, operation.as_strategy(GenerationMode.NEGATIVE))


@pytest.mark.parametrize("operation", POSTS, ids=lambda operation: operation.label)
def test_a_valid_request_to_the_served_model_gets_an_answer_that_is_described(url, operation):
    _keeps_to_the_document(url, operation.as_strategy().map(_of_the_served_model))
