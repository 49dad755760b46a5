"""What a test run may leave out, and what fails it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import skips

pytest_plugins = ["pytester"]

TESTS = Path(__file__).parents[2]
ROOT, ANYBODY = 0, 1000

GROUP = """
import pytest
from cluster.tools.binaries import UnavailableError, UnsupportedError
from cluster.skips import or_skip

@pytest.fixture(scope="session")
def missing():
    with or_skip():
        raise ERROR("no such thing here")

def test_one(missing): pass
def test_two(missing): pass
"""
LACKING = {
    "a group's fixture": GROUP.replace("ERROR", "UnavailableError"),
    "a test": "import pytest\ndef test_it(): pytest.skip('no such thing here')",
    "a mark": "import pytest\n@pytest.mark.skipif(True, reason='no such thing here')\ndef test_it(): pass",
    "a file": "import pytest\npytest.skip('no such thing here', allow_module_level=True)",
    "an import": "import pytest\npytest.importorskip('no_such', reason='no such thing here')",
}


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs one file with the plugin, on Linux, as the user with a number."""

    def run(source: str, user: int) -> pytest.RunResult:
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(os, "geteuid", lambda: user)
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess("-ra", "-p", "no:asyncio", plugins=[skips])

    return run


@pytest.mark.parametrize("source", LACKING.values(), ids=LACKING)
def test_on_linux_as_root_a_skip_fails_the_run(run, source):
    result = run(source, ROOT)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "skipped" not in result.parseoutcomes()
    result.stdout.fnmatch_lines("on Linux as root nothing is left out, and this was: *no such thing here*")


@pytest.mark.parametrize("source", LACKING.values(), ids=LACKING)
def test_whoever_is_not_root_may_skip_and_is_told_why(run, source):
    result = run(source, ANYBODY)
    assert set(result.parseoutcomes()) == {"skipped"}
    result.stdout.fnmatch_lines("SKIPPED*no such thing here*")


def test_what_nobody_can_install_is_skipped_and_stands_in_the_summary(run):
    result = run(GROUP.replace("ERROR", "UnsupportedError"), ROOT)
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines("SKIPPED*no such thing here*")


def test_an_expected_failure_is_no_skip(run):
    run("import pytest\n@pytest.mark.xfail\ndef test_it(): assert False", ROOT).assert_outcomes(xfailed=1)


@pytest.mark.parametrize(
    ("user", "code", "said"),
    [(ROOT, 1, "missing here: g++, gcc"), (ANYBODY, 77, "not tested here: what is compiled (missing here: g++, gcc")],
)
def test_without_a_compiler_make_test_fails_for_root_and_says_so_to_everyone_else(tmp_path, user, code, said):
    """Neither a compiler nor apt-get to install one with is on PATH."""
    source = f"import os, sys; os.geteuid = lambda: {user}; sys.argv[1:] = ['compiler']\n"
    source += "from cluster.__main__ import main; sys.exit(main())"
    environment = os.environ | {"PATH": str(tmp_path), "PYTHONPATH": str(TESTS)}
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
