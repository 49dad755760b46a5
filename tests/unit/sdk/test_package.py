import subprocess
import sys

import pytest

import fastchat


def test_the_package_imports_nothing_until_it_must() -> None:
    script = "import sys; before = set(sys.modules); import fastchat; print(*set(sys.modules) - before)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "fastchat\n"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(fastchat, "Clients")
    with pytest.raises(ImportError):
        from fastchat import Clients  # noqa: F401


def test_a_client_builds_types_as_it_needs_them_and_a_server_all_before_it_listens() -> None:
    script = """
import fastchat.client
from fastchat import api
from fastchat.api.common import build_types
kinds = api.ChatCompletionRequest, api.ChatCompletion, api.RerankRequest
print(*(kind.__pydantic_complete__ for kind in kinds))
build_types()
print(*(kind.__pydantic_complete__ for kind in kinds))
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True).split() == 3 * ["False"] + 3 * ["True"]
