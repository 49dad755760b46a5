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
