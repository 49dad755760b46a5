"""The gateway keeps to the OpenAPI document that it serves."""

from typing import Any

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

from fastchat_gateway.app import build
from fastchat_gateway.settings import Settings

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
# schemathesis' own pytest integration (4.32) does not run under pytest 9.
DOCUMENT = build(Settings(access_log=False)).config.app.openapi()
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()]
POSTS = [operation for operation in OPERATIONS if operation.method == "post"]


def keep_to_the_document(url: str, cases: Any) -> None:
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def run(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=CHECKS)

    run()


def of_a_served_model(case: Any) -> Any:
    if "prompts" in case.body:
        case.body["prompts"] = [{**prompt, "model": "m"} for prompt in case.body["prompts"]]
    else:
        case.body["model"] = "m"
    return case


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_a_valid_request_gets_an_answer_that_is_described(live_url: str, operation: Any) -> None:
    keep_to_the_document(live_url, operation.as_strategy())


@pytest.mark.parametrize("operation", POSTS, ids=lambda operation: operation.label)
def test_an_invalid_request_gets_an_answer_that_is_described(live_url: str, operation: Any) -> None:
    keep_to_the_document(live_url, operation.as_strategy(GenerationMode.NEGATIVE))


@pytest.mark.parametrize("operation", POSTS, ids=lambda operation: operation.label)
def test_a_valid_request_to_a_served_model_gets_an_answer_that_is_described(live_url: str, operation: Any) -> None:
    keep_to_the_document(live_url, operation.as_strategy().map(of_a_served_model))
