"""The CRD in a real API server decides every case as the types do, and in the same words."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.team import model

from fastchat.v1alpha1.deployment import ModelDeployment

CASES = yaml.safe_load((Path(__file__).parents[3] / "unit" / "sdk" / "v1alpha1" / "cases.yaml").read_text())
PATH = "apis/fastchat.io/v1alpha1/namespaces/default/modeldeployments"


def resource(case: dict[str, Any]) -> dict[str, Any]:
    return model(case.get("name", "demo"), **case["spec"])


def complaints(status: dict[str, Any]) -> dict[str, str]:
    """What an API server says against a resource, by field; fields that it does not know are only in its message."""
    unknown = re.findall('unknown field "([^"]*)"', status["message"])
    causes = status.get("details", {}).get("causes", [])
    return dict.fromkeys(unknown, "unknown") | {each["field"]: each["message"] for each in causes}


@pytest.fixture
def attempt(admin):
    return lambda case: admin.attempt("POST", PATH, resource(case), dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("case", [case for case in CASES if "refused" not in case], ids=str)
def test_what_the_types_take_is_taken_with_the_same_defaults(attempt, case):
    answer = attempt(case)
    assert answer.is_success, answer.text
    assert ModelDeployment.parse(answer.json()).spec == ModelDeployment.parse(resource(case)).spec


@pytest.mark.parametrize("case", [case for case in CASES if "refused" in case], ids=str)
def test_what_the_types_refuse_is_refused_with_the_same_field_and_words(attempt, case):
    answer = attempt(case)
    assert answer.status_code in (400, 422)
    found = complaints(answer.json())
    field = next((each for each in found if re.sub(r"\[\d+\]$", "", each) == case["refused"]), case["refused"])
    assert case.get("because", "") in found[field]
